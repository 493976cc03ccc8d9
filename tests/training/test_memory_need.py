"""The memory that a training takes, as predicted before it starts."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from hat.errors import UserError
from hat.training import Updater, train
from hat.training.checkpoint import read_metadata
from hat.training.journal import Position
from hat.training.loop import predicted_need
from hat.training.memory_need import ERROR, LIBRARIES, MemoryNeed, fit
from tests.training.test_recovery import NEWEST, settings
from tests.training.tiny import stores, sub

MIB = 1 << 20
# Design space, vocabulary, batch_tokens, longest sentence, precision, activation checkpointing.
SHAPES = (
    ("demo", "2400", "3000", "13", "fp32", "no"),
    ("multi30k", "4000", "2048", "16", "bf16", "no"),
    ("multi30k", "4000", "2048", "30", "fp32", "yes"),
)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_training_takes_what_was_predicted_within_the_stated_error(shape: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "tests.training.memory_worker", *shape]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    predicted, taken = map(int, done.stdout.split())
    assert 1 / ERROR < taken / predicted < ERROR


def test_activation_checkpointing_and_smaller_batches_are_predicted_to_need_less(tmp_path: Path) -> None:
    text, _ = stores(tmp_path)

    def bytes_of(**changes: object) -> float:
        return predicted_need(Updater(sub(), settings(**changes)), text, Position()).bytes() - LIBRARIES

    usual = bytes_of(batch_tokens=2000)
    assert bytes_of(batch_tokens=2000, activation_checkpointing=True) < 0.8 * usual
    assert bytes_of(batch_tokens=200) < 0.5 * usual


NEED = MemoryNeed(
    weights=10 * MIB, moments=20 * MIB, traces=((12 * MIB, MIB), (30 * MIB, 0)), sentences=100, tokens=900
)


def test_the_need_is_that_of_the_moment_that_needs_most() -> None:
    assert NEED.bytes() == LIBRARIES + (20 + 112) * MIB
    assert NEED.bytes(2) == LIBRARIES + (20 + 62) * MIB
    assert NEED.bytes(64) == LIBRARIES + (20 + 30) * MIB


@pytest.mark.parametrize(
    ("available", "parts"), [(1000, 1), (180 * ERROR, 1), (170 * ERROR, 2), (110 * ERROR, 4)]
)
def test_batches_are_computed_in_as_few_parts_as_fit(available: float, parts: int) -> None:
    chosen, numbers = fit(NEED, available * MIB)
    assert chosen == parts
    assert (numbers == "") == (parts == 1)
    assert fit(NEED, available * MIB, 4)[0] == 4, "a training that goes on does not take more than before"


def test_the_warning_has_the_numbers() -> None:
    assert fit(NEED, 170 * ERROR * MIB)[1] == (
        "memory: about 189 MB needed beside the weights of 10 MB (gradients 10 MB, moments 21 MB, "
        "activations of 900 tokens 107 MB), 285 MB available"
    )


def test_a_training_that_does_not_fit_warns_and_computes_batches_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, plan = stores(tmp_path), settings(batch_tokens=2000)
    need = predicted_need(Updater(sub(), plan), texts[0], Position())
    monkeypatch.setattr("hat.training.loop.free_memory", lambda _: ERROR * need.bytes(2))
    said: list[str] = []
    with pytest.raises(ZeroDivisionError):
        train(
            sub(), texts, settings=plan, folder=tmp_path / "run", progress=lambda *_: 1 / 0, say=said.append
        )
    (line,) = said
    assert re.match(r"memory: about \d+ MB needed beside the weights of 0 MB .*, \d+ MB available; ", line)
    assert "; batches of 2,000 tokens are computed in 2 parts, whose gradients are added up" in line
    assert read_metadata(tmp_path / "run" / NEWEST)["parts"] == 2, "remembered at once, for an exact resume"


def test_a_training_whose_moments_do_not_fit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hat.training.loop.free_memory", lambda _: 1000.0)
    with pytest.raises(
        UserError, match=r"memory: this training needs at least .* a smaller network or vocabulary"
    ):
        train(sub(), stores(tmp_path), settings=settings(), folder=tmp_path / "run")


def test_a_training_that_fits_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    for memory in (None, 1e12):
        monkeypatch.setattr("hat.training.loop.free_memory", lambda _, memory=memory: memory)
        train(
            sub(),
            stores(tmp_path),
            settings=settings(updates=2),
            folder=tmp_path / str(memory),
            say=said.append,
        )
    assert not said
