"""Sampling strategies: their draws, the losses and gradients of an update, resuming, and step keys."""

import random
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from hat.architecture import ModelConfig
from hat.data import Batch, TokenStore, collate
from hat.model import SuperTransformer
from hat.pipeline.models.training import training_inputs
from hat.recipe.file import load_recipe
from hat.training import SAMPLINGS, Position, SuperTrainee, SuperTrainingSettings, Updater, train
from hat.training.accelerator import tensors
from hat.training.loss import imitation_loss
from hat.training.sampling import SamplingName
from tests.training.tiny import RESULTS, SPACE, VOCAB, settings, stores

NAMES: list[SamplingName] = list(SAMPLINGS)


def trainee(name: SamplingName, draws: int = 1) -> SuperTrainee:
    torch.manual_seed(0)
    network = SuperTransformer(ModelConfig(SPACE.largest(), VOCAB, VOCAB))
    return SuperTrainee(network, SAMPLINGS[name](SPACE, 1, draws), SPACE.smallest())


def test_every_strategy_has_a_name_in_recipes() -> None:
    assert set(get_args(SamplingName)) == set(SAMPLINGS)


def test_uniform_draws_are_those_of_the_published_seeds() -> None:
    drawn = [SAMPLINGS["uniform"](SPACE, 3, 1).architectures(update) for update in range(20)]
    assert drawn == [[SPACE.sample(random.Random(3 + update))] for update in range(20)]


@pytest.mark.parametrize("name", NAMES)
def test_draws_depend_on_seed_and_update_alone(name: SamplingName) -> None:
    def drawn(seed: int, updates: range) -> list[object]:
        sampling = SAMPLINGS[name](SPACE, seed, 2)
        return [sampling.architectures(update) for update in updates]

    assert drawn(1, range(20))[12:] == drawn(1, range(12, 20))
    assert drawn(1, range(20)) != drawn(100, range(20))


@pytest.mark.parametrize("draws", [1, 2, 3])
def test_fair_draws_use_every_choice_of_a_gene_equally_often(draws: int) -> None:
    sampling = SAMPLINGS["fair"](SPACE, 0, draws)
    drawn = [one for update in range(12) for one in sampling.architectures(update)]
    assert len(drawn) == 12 * draws
    assert all(one in SPACE for one in drawn)
    for count in (
        Counter(one.encoder_dim for one in drawn),
        Counter(one.decoder_dim for one in drawn),
        Counter(len(one.encoder.layers) for one in drawn),
        Counter(one.encoder.layers[0].ffn_dim for one in drawn),
        Counter(one.decoder.layers[0].self_heads for one in drawn),
    ):
        assert len(set(count.values())) == 1, count
    assert len(set(drawn)) > 6, "genes are drawn apart from each other"


@pytest.mark.parametrize("name", ["sandwich", "distilled-sandwich"])
def test_a_sandwich_is_the_largest_the_smallest_and_random_ones(name: SamplingName) -> None:
    largest, smallest, *others = SAMPLINGS[name](SPACE, 5, 3).architectures(7)
    assert (largest, smallest) == (SPACE.largest(), SPACE.smallest())
    assert others == SAMPLINGS["uniform"](SPACE, 5, 3).architectures(7)


def batch_of(texts: tuple[TokenStore, TokenStore]) -> Batch:
    return collate(texts[0], torch.arange(12).numpy())


def expected_loss(logits: Tensor, target: Tensor, teacher: Tensor | None) -> Tensor:
    """The formula with PyTorch's losses."""
    if teacher is None:
        arguments = {"ignore_index": 1, "reduction": "sum", "label_smoothing": 0.1}
        return functional.cross_entropy(logits.flatten(0, 1), target.flatten(), **arguments)  # type: ignore[arg-type]
    real = target.flatten() != 1
    return functional.cross_entropy(
        logits.flatten(0, 1)[real], teacher.flatten(0, 1)[real].softmax(-1), reduction="sum"
    )


@pytest.mark.parametrize("name", NAMES)
def test_an_update_has_the_mean_loss_and_gradient_of_its_subtransformers(
    tmp_path: Path, name: SamplingName
) -> None:
    batch = batch_of(stores(tmp_path))
    ours, reference = trainee(name, 2), trainee(name, 2)
    updater = Updater(ours, settings(dropout=0.0))
    loss = updater.add_gradients(ours.networks(4), batch)
    source, target_in, target = tensors(batch)
    losses, teacher = [], None
    for architecture in reference.sampling.architectures(4):
        logits = reference.model(architecture, source, target_in)
        losses.append(expected_loss(logits, target, teacher))
        if name == "distilled-sandwich" and teacher is None:
            teacher = logits.detach()
    total = torch.stack(losses).sum()
    torch.autograd.backward(total)
    assert loss == pytest.approx(float(total.detach()), rel=1e-5)
    for (label, parameter), twin in zip(
        ours.module.named_parameters(), reference.module.parameters(), strict=True
    ):
        if parameter.grad is not None:
            assert twin.grad is not None
            torch.testing.assert_close(parameter.grad, twin.grad, rtol=1e-4, atol=1e-4, msg=label)
    # Clipping sees the mean over the networks: as much as one network's gradient.
    norm = float(
        torch.nn.utils.get_total_norm(
            [one.grad for one in reference.module.parameters() if one.grad is not None]
        )
    )
    networks = len(losses)
    count = batch.target_tokens * networks
    assert updater.step(count, Position(4)) == pytest.approx(norm / count, rel=1e-4)


def test_the_largest_learns_nothing_from_those_that_it_teaches(tmp_path: Path) -> None:
    batch = batch_of(stores(tmp_path))
    alone, teaching = trainee("distilled-sandwich"), trainee("distilled-sandwich")
    largest = SPACE.largest()
    above = [
        name
        for name, weight in alone.module.named_parameters()
        if name.startswith(f"encoder.{len(largest.encoder.layers) - 1}.")
    ]
    updater = Updater(alone, settings(dropout=0.0))
    updater.add_gradients(alone.networks(0)[:1], batch)
    Updater(teaching, settings(dropout=0.0)).add_gradients(teaching.networks(0)[:2], batch)
    gradients = dict(alone.module.named_parameters()), dict(teaching.module.named_parameters())
    assert above
    for name in above:  # a layer that the smallest does not have
        assert torch.equal(*(one[name].grad for one in gradients)), name  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_the_gradient_of_imitation_is_the_librarys(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hat.training.loss.CHUNK", 11 * rows)
    torch.manual_seed(0)
    logits = (10 * torch.randn(2, 3, 11, dtype=torch.float64)).requires_grad_()
    teacher = (10 * torch.randn(2, 3, 11, dtype=torch.float64)).requires_grad_()
    target = torch.tensor([[4, 2, 1], [5, 6, 2]])
    loss, expected = imitation_loss(logits, target, teacher), expected_loss(logits, target, teacher.detach())
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    (gradient,) = torch.autograd.grad(0.5 * loss, logits, retain_graph=True)
    (reference,) = torch.autograd.grad(0.5 * expected, logits)
    torch.testing.assert_close(gradient, reference, rtol=1e-10, atol=1e-12)
    assert not gradient[0, 2].any(), "a pad has no gradient"
    assert torch.autograd.grad(loss, teacher, allow_unused=True) == (None,)


def test_imitation_of_oneself_has_no_gradient() -> None:
    logits = torch.randn(2, 3, 11).requires_grad_()
    (gradient,) = torch.autograd.grad(imitation_loss(logits, torch.full((2, 3), 5), logits.detach()), logits)
    assert not gradient.any()


@pytest.mark.parametrize("name", ["fair", "distilled-sandwich"])
def test_a_resumed_training_ends_in_the_same_bytes(tmp_path: Path, name: SamplingName) -> None:
    texts, plan = stores(tmp_path), settings(updates=14, threads=1)

    class KilledError(Exception):
        pass

    def kill(done: float, total: float, note: str) -> None:
        if done == 7:
            raise KilledError

    train(trainee(name), texts, settings=plan, folder=tmp_path / "whole")
    with pytest.raises(KilledError):
        train(trainee(name), texts, settings=plan, folder=tmp_path / "cut", progress=kill)
    train(trainee(name), texts, settings=plan, folder=tmp_path / "cut")
    for result in RESULTS:
        assert (tmp_path / "cut" / result).read_bytes() == (tmp_path / "whole" / result).read_bytes()


def test_steps_of_uniform_sampling_keep_their_keys() -> None:
    plain = settings().model_dump()
    published = SuperTrainingSettings.model_validate(plain)
    assert training_inputs(published) == training_inputs(settings())
    for changed in ({"sampling": "fair"}, {"draws": 2}):
        other = SuperTrainingSettings.model_validate(plain | changed)
        assert training_inputs(other) == training_inputs(settings()) | changed


def test_only_supertransformers_have_a_sampling() -> None:
    assert load_recipe("demo", ["super_training.sampling=sandwich"]).super_training.sampling == "sandwich"
    with pytest.raises(Exception, match=r"sub_training\.sampling: unknown key"):
        load_recipe("demo", ["sub_training.sampling=sandwich"])
    with pytest.raises(Exception, match=r"super_training\.sampling: .*'uniform', 'fair', 'sandwich'"):
        load_recipe("demo", ["super_training.sampling=sandwhich"])
