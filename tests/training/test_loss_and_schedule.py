"""Loss and learning rates against their formulas."""

from math import cos, pi

import pytest
import torch

from hat.training import label_smoothed_loss
from hat.training.optimizer import learning_rate
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


def test_inverse_square_root() -> None:
    plan = settings(schedule="inverse-sqrt", updates=1000, warmup=16, learning_rate=1.0)
    assert learning_rate(16, plan) == pytest.approx(1.0)
    assert learning_rate(64, plan) == pytest.approx(0.5)
    assert learning_rate(400, plan) == pytest.approx(0.2)
