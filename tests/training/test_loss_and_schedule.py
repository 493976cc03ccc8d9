"""Loss and learning rates against their formulas."""

from math import cos, inf, pi, sqrt

import pytest
import torch
from torch.nn import functional

from hat.tokens import PAD
from hat.training import label_smoothed_loss
from hat.training.optimizer import BETAS, EPSILON, apply_gradients, learning_rate, optimizers
from tests.training.tiny import settings


def test_label_smoothed_loss_is_the_published_formula() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 11)
    target = torch.tensor([[4, 2, 1], [5, 6, 2]])
    log_probs = logits.double().log_softmax(-1)
    expected = 0.0
    for row, column in [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]:
        words = log_probs[row, column]
        expected += float(-0.9 * words[target[row, column]] - 0.1 / 11 * words.sum())
    assert float(label_smoothed_loss(logits, target, 0.1)) == pytest.approx(expected, rel=1e-6)


def test_cosine() -> None:
    plan = settings(updates=110, warmup=10, learning_rate=1.0, floor_learning_rate=0.1)
    assert learning_rate(0, plan) == pytest.approx(0.1)
    assert learning_rate(5, plan) == pytest.approx(0.55)
    assert learning_rate(10, plan) == pytest.approx(1.0)
    assert learning_rate(35, plan) == pytest.approx(0.1 + 0.9 * (1 + cos(pi / 4)) / 2)
    assert learning_rate(110, plan) == pytest.approx(0.1)


def test_stable_then_decay() -> None:
    plan = settings(
        schedule="stable-decay", decay=0.4, updates=100, warmup=10, learning_rate=1.0, floor_learning_rate=0.0
    )
    rates = [learning_rate(update, plan) for update in (5, 10, 59, 60, 70, 90, 100, 101)]
    assert rates == pytest.approx([0.5, 1, 1, 1, 0.75, 0.25, 0, 0])


def test_inverse_square_root() -> None:
    plan = settings(schedule="inverse-sqrt", updates=1000, warmup=16, learning_rate=1.0)
    assert learning_rate(16, plan) == pytest.approx(1.0)
    assert learning_rate(64, plan) == pytest.approx(0.5)
    assert learning_rate(400, plan) == pytest.approx(0.2)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("rows", [1, 2, 100])
def test_the_gradient_of_the_loss_is_the_librarys(
    smoothing: float, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hat.training.loss.CHUNK", 11 * rows)
    torch.manual_seed(0)
    logits = (30 * torch.randn(2, 3, 11, dtype=torch.float64)).requires_grad_()
    target = torch.tensor([[4, 2, 1], [5, 6, 2]])
    expected = functional.cross_entropy(
        logits.flatten(0, 1), target.flatten(), ignore_index=1, reduction="sum", label_smoothing=smoothing
    )
    loss = label_smoothed_loss(logits, target, smoothing)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    # Half the loss: as much as a lesson leaves of it.
    (gradient,) = torch.autograd.grad(0.5 * loss, logits)
    (reference,) = torch.autograd.grad(0.5 * expected, logits)
    torch.testing.assert_close(gradient, reference, rtol=1e-10, atol=1e-12)
    assert not gradient[0, 2].any(), "a pad has no gradient"


def test_the_loss_of_bf16_logits_is_computed_in_float32() -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, 5, 300).bfloat16().requires_grad_()
    target = torch.randint(2, 300, (4, 5))
    wide = logits.detach().float().requires_grad_()
    loss, expected = (label_smoothed_loss(one, target, 0.1) for one in (logits, wide))
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    (gradient,), (reference,) = torch.autograd.grad(loss, logits), torch.autograd.grad(expected, wide)
    torch.testing.assert_close(gradient, reference.bfloat16(), rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize("vocabulary", [31, 300])
def test_pads_and_single_rows_of_bf16_logits_are_like_those_of_float32(vocabulary: int) -> None:
    target = torch.tensor([[5, PAD, 7, PAD]])
    logits = torch.randn(1, 4, vocabulary).bfloat16().requires_grad_()
    loss = label_smoothed_loss(logits, target, 0.1)
    rows = [label_smoothed_loss(logits[:, [at]], target[:, [at]], 0.1) for at in (0, 2)]
    torch.testing.assert_close(loss, rows[0] + rows[1], rtol=1e-6, atol=0)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert not gradient[0, [1, 3]].any()
    assert gradient[0, [0, 2]].any()
    with torch.inference_mode():
        assert torch.equal(label_smoothed_loss(logits.detach(), target, 0.1), loss.detach())


@pytest.mark.parametrize("clip_norm", [0.0, 1.0, 1e6])
def test_a_step_is_that_of_divided_and_clipped_gradients(clip_norm: float) -> None:
    plan = settings(clip_norm=clip_norm)
    ours, reference = (torch.nn.Linear(3, 2) for _ in range(2))
    reference.load_state_dict(ours.state_dict())
    for parameter, twin in zip(ours.parameters(), reference.parameters(), strict=True):
        parameter.grad = 50 * torch.randn_like(parameter)
        twin.grad = parameter.grad / 7
    norm = apply_gradients(ours, optimizers(ours, plan), settings=plan, tokens=7, update=3)
    (optimizer,) = optimizers(reference, plan)
    assert norm == pytest.approx(
        float(torch.nn.utils.clip_grad_norm_(reference.parameters(), clip_norm or inf)), rel=1e-6
    )
    for group in optimizer.param_groups:
        group["lr"], group["eps"] = learning_rate(3, plan), EPSILON / sqrt(1 - BETAS[1] ** 4)
    optimizer.step()
    for parameter, twin in zip(ours.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(parameter, twin, rtol=1e-6, atol=1e-9)
