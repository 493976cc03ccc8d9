"""Batches in parts: the same gradients, and a training that goes on where memory runs out."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from hat.data import TokenStore, collate, split
from hat.errors import HatError
from hat.training import SubTrainee, Trainee, Updater, train
from hat.training.checkpoint import read_metadata
from hat.training.journal import Position
from hat.training.loss import Network
from hat.training.micro_batches import is_out_of_memory
from tests.training.test_recovery import NEWEST, check_same, kill_at, killed_or_stopped, settings
from tests.training.tiny import evolved, lessons, stores, sub, supernet

Texts = tuple[TokenStore, TokenStore]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Texts:
    return stores(tmp_path_factory.mktemp("texts"))


class LittleMemory:
    """A trainee on a machine that has no memory for more than `most` sentences at a time."""

    distils = False

    def __init__(self, trainee: Trainee, most: int, error: Exception) -> None:
        self.trainee, self.module, self.most, self.error = trainee, trainee.module, most, error

    def networks(self, update: int) -> list[Network]:
        return list(map(self._limited, self.trainee.networks(update)))

    def validated(self) -> Mapping[str, Network]:
        return self.trainee.validated()

    def _limited(self, network: Network) -> Network:
        def run(source: Tensor, target_in: Tensor) -> Tensor:
            logits = network(source, target_in)
            if len(source) > self.most:
                raise self.error
            return logits

        return run


@pytest.mark.parametrize("parts", [1, 2, 3, 7, 50])
def test_the_parts_of_a_batch_are_batches_of_its_sentences(texts: Texts, parts: int) -> None:
    batch = collate(texts[0], range(7))
    pieces = split(batch, parts)
    assert len(pieces) == min(parts, 7)
    assert np.concatenate([piece.rows for piece in pieces]).tolist() == list(range(7))
    for piece in pieces:
        alone = collate(texts[0], piece.rows)
        for name in ("source", "target_in", "target_out", "target_tokens"):
            assert np.array_equal(getattr(piece, name), getattr(alone, name))


@pytest.mark.parametrize("taught", [False, True])
@pytest.mark.parametrize("make", [sub, supernet, evolved])
def test_the_gradients_of_the_parts_add_up_to_those_of_the_batch(
    tmp_path: Path, texts: Texts, make: Callable[[float], Trainee], taught: bool
) -> None:
    lesson = lessons(sub().module, tmp_path, *texts)[0] if taught else None
    batches = [collate(texts[0], range(20)), collate(texts[0], range(20, 29))]

    def gradients(parts: int) -> tuple[float, dict[str, Tensor]]:
        trainee = make(0.0)
        trainee.module.double()
        updater = Updater(trainee, settings(), lesson=lesson)
        loss = updater.compute_gradients(batches, Position(update=1, parts=parts))
        found = {name: one.grad for name, one in trainee.module.named_parameters() if one.grad is not None}
        return loss, found

    tolerance = 1e-5 if taught else 1e-11  # soft labels are computed in float32
    loss, expected = gradients(1)
    for parts in (2, 4):
        same, found = gradients(parts)
        assert same == pytest.approx(loss, rel=tolerance)
        assert found.keys() == expected.keys()
        for name, one in found.items():
            torch.testing.assert_close(one, expected[name], rtol=tolerance, atol=tolerance)


ERRORS = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    MemoryError(),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to"
    ),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 123 bytes."),
)


@pytest.mark.parametrize("error", ERRORS)
def test_out_of_memory_becomes_smaller_parts_for_the_rest_of_the_training(
    tmp_path: Path, texts: Texts, error: Exception
) -> None:
    plan = settings(updates=6, checkpoint_every=100)
    said: list[str] = []
    little = LittleMemory(sub(), 12, error)
    killed_or_stopped(little, texts, tmp_path / "run", kill_at(3), plan, said.append)
    assert said
    assert all("out of memory; from now on, batches of 200 tokens are computed in " in line for line in said)
    parts = read_metadata(tmp_path / "run" / NEWEST)["parts"]
    assert parts == 2 ** len(said)
    # It goes on with these parts, though there is enough memory now.
    train(sub(), texts, settings=plan, folder=tmp_path / "run", say=said.append)
    assert len(said) == parts.bit_length() - 1


def test_a_training_in_parts_that_is_killed_and_resumed_ends_in_the_same_bytes(
    tmp_path: Path, texts: Texts
) -> None:
    plan = settings(updates=8, checkpoint_every=100)
    for name, ends in (("whole", ()), ("cut", (3, 5))):
        for end in (*ends, 100):
            little = LittleMemory(sub(), 12, MemoryError())
            killed_or_stopped(little, texts, tmp_path / name, kill_at(end), plan)
    check_same(tmp_path / "cut", tmp_path / "whole")


def test_a_sentence_that_does_not_fit_alone_is_an_error(tmp_path: Path, texts: Texts) -> None:
    with pytest.raises(
        HatError, match=r"out of memory with a single pair of sentences .*activation_checkpointing"
    ):
        train(LittleMemory(sub(), 0, MemoryError()), texts, settings=settings(), folder=tmp_path)


def test_another_error_is_not_taken_for_lack_of_memory(tmp_path: Path, texts: Texts) -> None:
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"):
        train(
            LittleMemory(SubTrainee(sub().module), 0, RuntimeError("shapes")),
            texts,
            settings=settings(),
            folder=tmp_path,
        )


def test_an_address_space_that_ends_makes_the_parts_smaller(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.training.memory_limit", str(tmp_path), "200"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *said, parts = done.stdout.splitlines()
    assert int(parts) == 2 ** len(said) > 1
    assert said[0].startswith(
        "update 1: out of memory; from now on, batches of 8,000 tokens are computed in 2 parts"
    )
