"""Distillation: the loss against hand-made figures, a teacher's labels and translations, a student."""

from math import log
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hat.data import SoftLabels, TokenStore, collate, write_store
from hat.data.soft_labels import SoftLabelWriter
from hat.errors import UserError
from hat.model import Dropout, Transformer, beam_search
from hat.runtime import DecodeOptions, Hypothesis
from hat.training import (
    Lesson,
    Lessons,
    SubTrainee,
    label_smoothed_loss,
    train,
    validation_loss,
    write_soft_labels,
    write_translations,
)
from hat.training.accelerator import tensors
from hat.training.loss import soft_loss
from tests.training.tiny import CONFIG, VOCAB, lessons, settings, stores

PAD = 1


class TorchTeacher:
    """Translates by beam search, one batch after the other, and may die at one."""

    name = "torch"

    def __init__(self, network: Transformer, dies_at: int | None = None) -> None:
        self.network, self.dies_at, self.batches = network.eval(), dies_at, 0

    def translate(self, sources: list[list[int]], options: DecodeOptions) -> list[list[Hypothesis]]:
        if self.batches == self.dies_at:
            raise KeyboardInterrupt
        self.batches += 1
        longest = max(map(len, sources))
        padded = [[PAD] * (longest - len(source)) + source for source in sources]
        return beam_search(self.network, torch.tensor(padded), options)


def network(seed: int = 0) -> Transformer:
    torch.manual_seed(seed)
    return Transformer(CONFIG, Dropout(0.0))


def test_soft_loss_by_hand() -> None:
    """Two positions and a pad; three tokens; logits of which the softmax is known."""
    logits = torch.tensor([[[0.0, log(2), log(5)], [log(3), 0.0, 0.0], [9.0, 9.0, 9.0]]])
    target = torch.tensor([[2, 0, PAD]])
    ids = torch.tensor([[[2, 1], [0, 2], [0, 0]]])
    probabilities = torch.tensor([[[0.75, 0.25], [0.5, 0.5], [0.0, 0.0]]])
    expected = -(0.75 * log(5 / 8) + 0.25 * log(2 / 8) + 0.5 * log(3 / 5) + 0.5 * log(1 / 5))
    assert float(
        soft_loss(logits, target, ids=ids, probabilities=probabilities, temperature=1.0)
    ) == pytest.approx(expected)
    # At temperature 2 the softmax is of the square roots.
    first = [1, 2**0.5, 5**0.5]
    second = [3**0.5, 1, 1]
    expected = -(0.75 * log(first[2] / sum(first)) + 0.25 * log(first[1] / sum(first)))
    expected -= 0.5 * log(second[0] / sum(second)) + 0.5 * log(second[2] / sum(second))
    assert float(
        soft_loss(logits, target, ids=ids, probabilities=probabilities, temperature=2.0)
    ) == pytest.approx(expected)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_all_tokens_give_the_gradient_of_the_whole_divergence(temperature: float) -> None:
    torch.manual_seed(0)
    student = torch.randn(2, 4, VOCAB, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(2, 4, VOCAB, dtype=torch.float64)
    target = torch.tensor([[5, 6, 2, PAD], [4, 4, 4, 2]])
    values, ids = teacher.topk(VOCAB)
    soft_loss(
        student, target, ids=ids, probabilities=(values / temperature).softmax(-1), temperature=temperature
    ).backward()
    ours, student.grad = student.grad, None
    divergence = F.kl_div(
        (student / temperature).log_softmax(-1),
        (teacher / temperature).log_softmax(-1),
        reduction="none",
        log_target=True,
    )
    divergence[target != PAD].sum().backward()
    assert ours is not None
    assert student.grad is not None
    torch.testing.assert_close(ours, student.grad, rtol=1e-5, atol=1e-6)
    assert not ours[0, 3].any(), "a pad teaches nothing"


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_labels_are_the_teacher_and_the_loss_is_the_mixture(tmp_path: Path, temperature: float) -> None:
    text, _ = stores(tmp_path, 300)
    teacher = network()
    labels = write_soft_labels(teacher, text, folder=tmp_path / "labels", top_k=5, temperature=temperature)
    rows = np.array([3, 17, 250])
    batch = collate(text, rows)
    source, target_in, target = tensors(batch)
    with torch.no_grad():
        values, expected_ids = teacher.eval()(source, target_in).topk(5)
    expected = (values / temperature).softmax(-1)
    ids, probabilities = map(torch.from_numpy, labels.batch(rows))
    real = target != PAD
    assert torch.equal(ids[real], expected_ids[real])
    assert float((probabilities - expected)[real].abs().max()) < 1 / 255

    logits = torch.randn(*target.shape, VOCAB)
    hard = label_smoothed_loss(logits, target, 0.1)
    mixed = Lesson(labels, 0.7).mixed_loss(hard, logits, target, batch)
    soft = soft_loss(logits, target, ids=ids, probabilities=probabilities, temperature=temperature)
    assert float(mixed) == pytest.approx(float(0.3 * hard + 0.7 * temperature**2 * soft))


def test_killed_labelling_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    text, _ = stores(tmp_path, 3000)

    def kill(done: float, total: float, note: str) -> None:
        if done > total / 3:
            raise KeyboardInterrupt

    reported: list[float] = []
    write_soft_labels(
        network(),
        text,
        folder=tmp_path / "whole",
        top_k=5,
        progress=lambda *told: reported.append(told[0]),
        temperature=1.0,
    )
    with pytest.raises(KeyboardInterrupt):
        write_soft_labels(network(), text, folder=tmp_path / "cut", top_k=5, progress=kill, temperature=1.0)
    before = len(reported)
    write_soft_labels(
        network(),
        text,
        folder=tmp_path / "cut",
        top_k=5,
        progress=lambda *told: reported.append(told[0]),
        temperature=1.0,
    )
    assert 0 < len(reported) - before < before, "what was saved is not repeated"
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "cut" / path.name).read_bytes() == path.read_bytes()


def test_what_no_teacher_can_give_is_refused(tmp_path: Path) -> None:
    text, _ = stores(tmp_path, 20)
    with pytest.raises(UserError, match=f"top_k: {VOCAB + 1} of a vocabulary of {VOCAB}"):
        write_soft_labels(network(), text, folder=tmp_path / "labels", top_k=VOCAB + 1, temperature=1.0)
    damaged = network()
    with torch.no_grad():
        damaged.embedding.fill_(float("nan"))
    with pytest.raises(UserError, match="not finite"):
        write_soft_labels(damaged, text, folder=tmp_path / "labels", top_k=2, temperature=1.0)
    assert not (tmp_path / "labels").exists()


def test_translations_replace_the_targets_and_a_kill_changes_nothing(tmp_path: Path) -> None:
    text, _ = stores(tmp_path, 1100)  # two parts
    options = DecodeOptions(beam=2, max_length_factor=0.0, max_length_offset=8)
    whole = write_translations(TorchTeacher(network()), text, folder=tmp_path / "whole", options=options)
    with pytest.raises(KeyboardInterrupt):
        write_translations(
            TorchTeacher(network(), dies_at=17), text, folder=tmp_path / "cut", options=options
        )
    assert not (tmp_path / "cut").exists()
    survivor = TorchTeacher(network())
    cut = write_translations(survivor, text, folder=tmp_path / "cut", options=options)
    assert survivor.batches == 2, "the finished part is not translated again"
    assert cut.digest == whole.digest != text.digest
    assert not list(tmp_path.glob(".*"))
    assert np.array_equal(whole.source_tokens, text.source_tokens)
    for row in (0, 1050):
        (best,) = beam_search(network().eval(), torch.tensor([[*text.source(row).tolist(), 2]]), options)
        assert [*whole.target(row).tolist(), 2] == list(best[0].tokens)


def test_translations_beside_the_references(tmp_path: Path) -> None:
    text, _ = stores(tmp_path, 1100)
    options = DecodeOptions(beam=1, max_length_factor=0.0, max_length_offset=4)
    alone = write_translations(TorchTeacher(network()), text, folder=tmp_path / "alone", options=options)
    both = write_translations(
        TorchTeacher(network()), text, folder=tmp_path / "both", options=options, references=True
    )
    assert len(both) == 2 * len(text)
    assert np.array_equal(both.source_tokens, np.tile(text.source_tokens, 2))
    assert np.array_equal(both.target_tokens, np.concatenate([text.target_tokens, alone.target_tokens]))


def test_a_student_learns_from_labels_what_the_text_hides(tmp_path: Path) -> None:
    """The text's targets are noise; the teacher counts, position by position, and so does the valid text."""
    noise, valid = stores(tmp_path, 400)
    sources = [valid.source(row).tolist() for row in range(len(valid))]
    counting = [[4 + position for position in range(len(source))] for source in sources]
    valid = write_store(tmp_path / "counting", [(sources, counting)], valid.vocab)

    def counted(name: str, text: TokenStore) -> Lesson:
        with SoftLabelWriter(tmp_path / name, text, 2, 1.0) as writer:
            for row in range(len(text)):
                right = np.array([*range(4, 4 + text.target_lengths[row]), 2])[None, :, None]
                ids = np.concatenate([right, np.full_like(right, 15)], axis=-1)
                writer.write(np.array([row]), ids, np.broadcast_to([0.95, 0.05], ids.shape))
            writer.finish()
        return Lesson(SoftLabels.open(tmp_path / name, text), 0.9)

    def loss(name: str, labels: Lessons | None) -> float:
        """Of the valid text itself, whatever the student was judged by."""
        plan = settings(updates=40, batch_tokens=300, validate_every=40, warmup=10, dropout=0.0)
        student = SubTrainee(network(1))
        train(student, (noise, valid), settings=plan, folder=tmp_path / name, lessons=labels)
        batches = [collate(valid, np.arange(len(valid)))]
        return validation_loss(student.module.eval(), batches, smoothing=plan.label_smoothing)

    counting_teacher = counted("train-labels", noise), counted("valid-labels", valid)
    assert loss("taught", counting_teacher) < loss("alone", None) - 0.5


def test_a_student_is_judged_by_what_it_learns(tmp_path: Path) -> None:
    text, valid = stores(tmp_path, 100)
    plan = settings(updates=1)
    batches = [collate(valid, np.arange(len(valid)))]
    trainee = SubTrainee(network(1))
    result = train(
        trainee,
        (text, valid),
        settings=plan,
        folder=tmp_path / "run",
        lessons=lessons(network(), tmp_path, text, valid),
    )
    trainee.module.eval()
    _, judged = lessons(network(), tmp_path, text, valid)
    alone = validation_loss(trainee.module, batches, smoothing=plan.label_smoothing)
    assert result.loss != pytest.approx(alone, rel=1e-3)
    assert result.loss == pytest.approx(
        validation_loss(trainee.module, batches, smoothing=plan.label_smoothing, lesson=judged), rel=1e-5
    )


def test_a_killed_student_ends_in_the_same_bytes(tmp_path: Path) -> None:
    text, valid = stores(tmp_path)

    def run(name: str, **options: object) -> None:
        train(
            SubTrainee(network(1)),
            (text, valid),
            settings=settings(precision="bf16"),
            folder=tmp_path / name,
            lessons=lessons(network(), tmp_path, text, valid),
            **options,
        )

    def kill(done: float, total: float, note: str) -> None:
        if done == 13:
            raise KeyboardInterrupt

    run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("cut", progress=kill)
    run("cut")
    model = "model.safetensors"
    assert (tmp_path / "cut" / model).read_bytes() == (tmp_path / "whole" / model).read_bytes()
