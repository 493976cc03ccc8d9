"""Fine-tuning of code books: the gradient of a centroid, what stays, and that it helps."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hat.compression.fine_tuning import CodeBookTrainee
from hat.model import Dropout, Transformer
from hat.runtime import Artefact, ArtefactConfig, CodeBooks
from hat.runtime.weights.code_books import on_steps
from hat.training import SubTrainee, train
from hat.training.loss import label_smoothed_loss
from tests.training.tiny import CONFIG, settings, stores

SOURCE, TARGET = torch.tensor([[1, 5, 9, 2], [4, 6, 8, 2]]), torch.tensor([[2, 7, 5], [2, 4, 4]])
NO_DROPOUT = Dropout()


def artefact_of(model: Transformer) -> Artefact:
    weights = {name: value.detach().numpy() for name, value in model.named_parameters()}
    return Artefact(ArtefactConfig(model.config), weights)


@pytest.mark.parametrize("books", [CodeBooks(), CodeBooks(32), CodeBooks(0, "int8"), CodeBooks(0, "float32")])
def test_the_gradient_of_a_centroid_is_the_sum_of_its_weights_gradients(books: CodeBooks) -> None:
    artefact = Artefact.random(CONFIG, 1).at_precision("kmeans3", books)
    trainee = CodeBookTrainee(artefact, NO_DROPOUT)
    plain = Transformer(CONFIG)
    weights = {name: torch.from_numpy(value) for name, value in artefact.float_weights().items()}
    plain.load_state_dict(weights)
    losses = []
    for network in (plain, trainee.networks(0)[0]):
        logits = network(SOURCE, TARGET)
        losses.append(label_smoothed_loss(logits, TARGET, 0.1))
        losses[-1].backward()
    assert torch.equal(losses[0], losses[1])
    own = dict(trainee.module.named_parameters())
    for name, parameter in plain.named_parameters():
        path, _, attribute = name.rpartition(".")
        prefix = f"{path}." if path else ""
        book = own.get(f"{prefix}parametrizations.{attribute}.original")
        assert parameter.grad is not None
        if book is None:
            torch.testing.assert_close(own[name].grad, parameter.grad)
            continue
        assert book.grad is not None
        assert book.shape[1] == 8
        values, gradients = parameter.detach().flatten(0, -2), parameter.grad.flatten(0, -2)
        for index, start in enumerate(range(0, len(values), books.rows or len(values))):
            rows = slice(start, start + (books.rows or len(values)))
            for centroid, found in zip(book[index], book.grad[index], strict=True):
                expected = gradients[rows][values[rows] == centroid].sum()
                torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_it_helps_and_the_codes_stay(tmp_path: Path) -> None:
    texts = stores(tmp_path / "data")
    torch.manual_seed(1)
    model = Transformer(CONFIG)
    learnt = train(SubTrainee(model), texts, settings=settings(updates=60), folder=tmp_path / "model")
    before = artefact_of(model).at_precision("kmeans2")
    untrained = CodeBookTrainee(before, NO_DROPOUT)
    tuning = settings(updates=40, learning_rate=1e-3, validate_every=10)
    trainee = CodeBookTrainee(before, Dropout(0.1))
    tuned = train(trainee, texts, settings=tuning, folder=tmp_path / "tuned")
    after = trainee.quantized({"fine_tuned_updates": 40})
    assert after.config == replace(before.config, provenance={"fine_tuned_updates": 40})
    assert list(after.weights) == list(before.weights)
    for name, stored in before.weights.items():
        if stored.dtype == np.uint8:
            np.testing.assert_array_equal(after.weights[name], stored)
            books = after.weights[f"{name}.codebook"]
            assert not np.array_equal(books, before.weights[f"{name}.codebook"])
            np.testing.assert_allclose(on_steps(books), books, rtol=1e-6)
    result = train(
        untrained,
        texts,
        settings=settings(updates=1, learning_rate=1e-30),
        folder=tmp_path / "untrained",
    )
    assert learnt.loss < tuned.loss < result.loss - 0.02
    after.save(tmp_path / "artefact")
    loaded = Artefact.load(tmp_path / "artefact")
    assert loaded.config == after.config
    again = CodeBookTrainee(loaded, NO_DROPOUT)
    again.module.eval()
    trainee.module.eval()
    with torch.inference_mode():
        found, expected = (one.networks(0)[0](SOURCE, TARGET) for one in (again, trainee))
    torch.testing.assert_close(found, expected, atol=0.3, rtol=0)


def test_it_resumes(tmp_path: Path) -> None:
    texts = stores(tmp_path / "data")
    artefact = Artefact.random(CONFIG, 1, "kmeans4")
    results = []
    for name in ("once", "resumed"):
        torch.manual_seed(1)
        trainee = CodeBookTrainee(artefact, Dropout(0.1))

        def interrupt(update: int, total: int, note: str, name: str = name) -> None:
            if name == "resumed" and update == 5 and not (tmp_path / "stopped").exists():
                (tmp_path / "stopped").touch()
                raise InterruptedError

        for _ in range(2):
            try:
                train(
                    trainee,
                    texts,
                    settings=settings(updates=9),
                    folder=tmp_path / name,
                    progress=interrupt,
                )
                break
            except InterruptedError:
                trainee = CodeBookTrainee(artefact, Dropout(0.1))
        results.append((tmp_path / name / "model.safetensors").read_bytes())
    assert (tmp_path / "stopped").exists()
    assert results[0] == results[1]
