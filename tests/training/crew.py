"""Processes that do one training after another together, as torchrun's do and those of the setting."""

import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch._C._distributed_c10d import Store, TCPStore
from torch.multiprocessing.spawn import spawn

from hat.data import TokenStore
from hat.model import Dropout, SuperTransformer
from hat.progress import Progress, silent
from hat.training import Stopped, SuperTrainee, Task, Trainee, TrainingSettings, UniformSampling
from hat.training.distributed import ALONE, connected
from hat.training.loop import take_part
from tests.training.tiny import CONFIG, SPACE, settings, stores, sub


@dataclass(frozen=True)
class Job:
    """A training without dropout, in float64 unless its precision is bf16. `sizes`: the numbers of processes
    that do it, one after another; each but the last stops at the updates in `stops`."""

    name: str
    sizes: Sequence[int]
    kind: str = "sub"
    changes: dict[str, object] = field(default_factory=dict)
    stops: Sequence[int] = ()


def trainee(kind: str, plan: TrainingSettings) -> Trainee:
    torch.manual_seed(0)
    if kind == "sub":
        made: Trainee = sub(0.0)
    else:
        config = replace(CONFIG, architecture=SPACE.largest())
        model = SuperTransformer(config, Dropout(0.0))
        made = SuperTrainee(model, UniformSampling(SPACE), SPACE.smallest())
    if plan.precision == "fp32":
        made.module.double()
    return made


class StopAt:
    """Progress that asks the training to stop at an update, as a signal does."""

    def __init__(self, update: int) -> None:
        self.update = update

    def __call__(self, done: float, total: float, note: str) -> None:
        if done == self.update:
            signal.raise_signal(signal.SIGTERM)


def do(jobs: Sequence[Job], root: Path, size: int) -> None:
    """Do all jobs with `size` processes."""
    stores(root)
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    spawn(_member, (store.port, jobs, root), nprocs=size)


def _member(rank: int, port: int, jobs: Sequence[Job], root: Path) -> None:
    torch.set_num_threads(1)
    store = TCPStore("127.0.0.1", port, is_master=False)
    texts = TokenStore.open(root / "train"), TokenStore.open(root / "valid")
    for job in jobs:
        plan = settings(**{"updates": 50, "dropout": 0.0, "threads": 1, "validate_every": 25, **job.changes})
        for turn, size in enumerate(job.sizes):
            stop = StopAt(job.stops[turn]) if turn < len(job.stops) else silent
            if rank < size:
                task = Task(trainee(job.kind, plan), texts, plan)
                _part(store, rank, size, name=f"{job.name}-{turn}", task=task, folder=root, stop=stop)


def _part(store: Store, rank: int, size: int, *, name: str, task: Task, folder: Path, stop: Progress) -> None:
    place = folder / name.rpartition("-")[0]
    with suppress(Stopped):
        if size == 1:
            take_part(ALONE, task, folder=place, progress=stop)
        else:
            with connected(store, rank, size, threads=1, name=name) as world:
                take_part(world, task, folder=place, progress=stop if rank == size - 1 else silent)
