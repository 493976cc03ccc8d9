"""Several processes train what one trains: the same sentences, sums and steps, from the same checkpoints."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hat.data import epoch_batches
from hat.training import Task
from hat.training.checkpoint import load_tensors
from hat.training.distributed import ALONE, World
from hat.training.journal import Position
from hat.training.loop import batches_of
from tests.training.crew import Job, do
from tests.training.tiny import settings, stores, sub

JOBS = [
    *(Job(f"super-{size}", (size,), "super") for size in (1, 2, 3)),
    *(Job(f"two-batches-{size}", (size,), changes={"accumulate": 2}) for size in (1, 2)),
    *(Job(f"read-by-{size}", (2, size), "super", stops=(21,)) for size in (1, 2, 3)),
    *(Job(f"muon-{size}", (size,), changes={"optimizer": "muon", "updates": 20}) for size in (1, 2)),
    *(Job(f"rounded-{size}", (size,), "super", {"precision": "bf16", "updates": 20}) for size in (1, 2)),
    Job("bf16-2", (2,), "super", changes={"exchange_precision": "bf16", "updates": 7}),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which all jobs are done."""
    root = tmp_path_factory.mktemp("crew")
    do(JOBS, root, size=3)
    return root


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_tensors(folder / "model.safetensors")[0]


def curve(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    return [{key: line[key] for key in line if key not in ("tokens_per_second", "kind")} for line in lines]


@pytest.mark.parametrize(
    ("together", "alone"),
    [
        ("super-2", "super-1"),
        ("super-3", "super-1"),
        ("two-batches-2", "two-batches-1"),
        ("muon-2", "muon-1"),
        ("read-by-1", "super-1"),
        ("read-by-3", "super-1"),
    ],
)
def test_updates_by_several_processes_are_those_of_one(trained: Path, together: str, alone: str) -> None:
    """Each batch is cut up, or each process has one of two. `read-by`: from a checkpoint of two processes."""
    ours, theirs = weights(trained / together), weights(trained / alone)
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in theirs) < 1e-9


def test_two_processes_go_on_to_the_same_bytes(trained: Path) -> None:
    for name in ("model.safetensors", "training.json"):
        assert (trained / "read-by-2" / name).read_bytes() == (trained / "super-2" / name).read_bytes()
    assert curve(trained / "read-by-2") == curve(trained / "super-2")


@pytest.mark.parametrize("size", [2, 3])
def test_losses_and_norms_are_those_of_one_process(trained: Path, size: int) -> None:
    for ours, alone in zip(curve(trained / f"super-{size}"), curve(trained / "super-1"), strict=True):
        assert ours == pytest.approx(alone, rel=1e-9)


def test_processes_in_bf16_learn_as_one_does(trained: Path) -> None:
    """bf16 gradients of lent corners are exchanged in float32, if there are kernels."""
    ours, alone = curve(trained / "rounded-2"), curve(trained / "rounded-1")
    assert [line["loss"] for line in ours] == pytest.approx([line["loss"] for line in alone], rel=5e-3)
    assert ours[-1]["loss"] < ours[0]["loss"]


def test_gradients_may_travel_as_bf16(trained: Path) -> None:
    short, exact = curve(trained / "bf16-2"), curve(trained / "super-2")
    assert short[4] != exact[4]
    assert short[4]["loss"] == pytest.approx(exact[4]["loss"], rel=1e-3)


def test_all_processes_together_have_the_sentences_of_one(tmp_path: Path) -> None:
    """In the same updates, whatever their number; over the end of an epoch too."""
    texts = stores(tmp_path)
    task = Task(sub(), texts, settings(accumulate=4))
    updates = len(epoch_batches(texts[0], 200, 0, 0)) // 4 + 2

    def dealt(size: int) -> list[list[int]]:
        worlds = [batches_of(task, World(rank, size), Position()) for rank in range(size)]
        return [
            sorted(row for world in worlds for batch in next(world) for row in batch.rows.tolist())
            for _ in range(updates)
        ]

    for size in (2, 3, 4, 7, 60):
        assert dealt(size) == dealt(1)


def test_shares_are_equal() -> None:
    """Four batches for three processes: one each, and a third of the last, the longest sentences spread."""
    batches = [np.arange(start, start + 9) for start in (0, 9, 18, 27)]
    shares = [World(rank, 3).share(batches) for rank in range(3)]
    assert [[rows.tolist() for rows in share] for share in shares] == [
        [list(range(9 * rank, 9 * rank + 9)), [27 + rank, 30 + rank, 33 + rank]] for rank in range(3)
    ]
    assert World(2, 3).share([np.arange(2)]) == [], "fewer sentences than processes"


def test_every_process_has_its_own_dropout_in_every_update() -> None:
    assert ALONE.seed(5) == 5
    assert (
        len({World(rank, 64).seed(update) % 2**32 for rank in range(64) for update in range(1000)}) == 64_000
    )
