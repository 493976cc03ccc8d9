"""Activation checkpointing: the same losses and gradients, bit by bit, from less memory."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hat.data import collate
from hat.model.recomputation import recomputation
from hat.training import SuperTrainee, Trainee, Updater
from hat.training.journal import Position
from tests.training.test_recovery import settings
from tests.training.tiny import evolved, stores, sub, supernet


def gradients(trainee: Trainee, folder: Path, **changes: object) -> tuple[float, dict[str, Tensor]]:
    """The loss and the gradients of update 3, which has dropout."""
    text, _ = stores(folder, 50)
    updater = Updater(trainee, settings(dropout=0.1, **changes))
    loss = updater.compute_gradients([collate(text, range(20))], Position(update=3))
    return loss, {name: one.grad for name, one in trainee.module.named_parameters() if one.grad is not None}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("make", [sub, supernet, evolved])
def test_gradients_are_the_same_to_the_last_bit(
    tmp_path: Path, make: Callable[[], Trainee], precision: str
) -> None:
    loss, expected = gradients(make(), tmp_path / "kept", precision=precision)
    same, found = gradients(make(), tmp_path / "again", precision=precision, activation_checkpointing=True)
    assert same == loss
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def kept_bytes(trainee: Trainee, enabled: bool) -> int:
    """Bytes that a pass forward of the largest network keeps for the pass backward."""
    tokens = torch.randint(4, 16, (20, 30))
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    trainee.module.train()
    network = next(iter(trainee.validated().values()))
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor), recomputation(enabled):
        logits = network(tokens, tokens)
    assert logits.requires_grad
    return sum(kept.values())


def test_most_activations_are_not_kept() -> None:
    trainee = supernet()
    assert isinstance(trainee, SuperTrainee)
    assert kept_bytes(trainee, enabled=True) < kept_bytes(trainee, enabled=False) / 3
