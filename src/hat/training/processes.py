"""The processes of a training on this machine: the settings' number, or the best in a short measurement.

Small networks keep several threads waiting for each other at every operator. Processes wait once an update.
The number is recorded: it decides the order in which sums are rounded, and which units dropout keeps.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch._C._distributed_c10d import TCPStore
from torch.multiprocessing.spawn import start_processes

from hat.errors import UserError
from hat.threads import available_threads, own_threads
from hat.training.accelerator import accelerator
from hat.training.distributed import ALONE, World, connected, failures_told, launched, team
from hat.training.task import Task
from hat.training.threads import chosen, counts_up_to, measure, record, recorded

RECORD = "processes.json"
HERE = "127.0.0.1"
# The time in which processes end that are no longer needed, before they are killed.
END_SECONDS = 10.0

# What one process of a world does of a task.
Work = Callable[[World, Task], object]
# An update of a copy of the trainee, by the processes of a world; and what makes it.
Update = Callable[[World, int], object]
Rehearsal = Callable[[Task], Update]


@contextmanager
def world_of(task: Task, folder: Path, *, work: Work, rehearsal: Rehearsal) -> Iterator[World]:
    """The processes that train: torchrun's, if it has started this one, or those of `task.settings`, which do
    `work` until the context ends. Raises UserError, ConnectionLost.

    `rehearsal`: is measured where the number of processes is "auto".
    """
    if launched():
        asked = task.settings.threads
        with team().training(str(folder), None if asked == "auto" else asked) as world:
            yield world
        return
    size = _size(task, folder, rehearsal)
    if size == 1:
        yield ALONE
    else:
        with _gathered(task, size, work) as world:
            yield world


def _size(task: Task, folder: Path, rehearsal: Rehearsal) -> int:
    """The number of processes. Raises UserError if there are fewer GPUs."""
    asked, gpus = task.settings.processes, torch.cuda.device_count()
    if accelerator().type == "cuda":
        if asked != "auto" and asked > gpus:
            raise UserError(f"processes: {asked}, but this machine has {gpus} GPU(s); use auto")
        return gpus if asked == "auto" else asked
    if asked != "auto":
        return asked
    size = recorded(folder / RECORD)
    if size is None:
        size = _best(task, rehearsal)
        record(folder / RECORD, size, measured=True)
    return size


def _threads(task: Task, size: int) -> int:
    """The threads of each of `size` processes: the settings', or an even part of all."""
    asked = task.settings.threads
    return max(1, _most() // size) if asked == "auto" else asked


def _most() -> int:
    return own_threads() or available_threads()


def _best(task: Task, rehearsal: Rehearsal) -> int:
    """The fewest processes that update nearly as fast as any number of them; the other candidate is one
    process with its best number of threads."""
    asked = task.settings.threads
    threads = 1 if asked == "auto" else asked
    sizes = counts_up_to(_most() // threads) if _most() > threads else [1]
    if sizes == [1]:
        return 1
    update = rehearsal(task)
    alone = asked
    if alone == "auto":
        alone = chosen(measure(counts_up_to(_most()), lambda number: update(ALONE, number)))
    limited = replace(task, settings=task.settings.model_copy(update={"threads": threads}))
    others = Measurement(rehearsal, tuple(sizes))
    with _gathered(limited, sizes[0], others.follow) as world:
        return chosen(others.lead(world, limited, alone))


@dataclass(frozen=True)
class Measurement:
    """A measurement of updates by some of the processes of a world, which process 0 leads and the others
    follow."""

    rehearsal: Rehearsal
    sizes: tuple[int, ...]

    def lead(self, world: World, task: Task, alone: int) -> dict[int, float]:
        """Seconds of an update by each number of processes; a single one has `alone` threads."""
        update, parts = self._begin(world, task)
        size = self.sizes[0]

        def use(count: int) -> None:
            nonlocal size
            size = count
            torch.set_num_threads(alone if count == 1 else world.threads)

        def trial(number: int) -> None:
            world.from_main([size, number])
            update(parts[size] or ALONE, number)

        times = measure(self.sizes, trial, use)
        world.from_main(None)
        return times

    def follow(self, world: World, task: Task) -> None:
        """Take part until process 0 has measured enough."""
        update, parts = self._begin(world, task)
        torch.set_num_threads(world.threads)
        while order := world.from_main(None):
            size, number = order
            if part := parts[size]:
                update(part, number)

    def _begin(self, world: World, task: Task) -> tuple[Update, dict[int, World | None]]:
        world.copy_weights(task.trainee.module)
        return self.rehearsal(task), {size: world.part(size) if size > 1 else None for size in self.sizes}


@contextmanager
def _gathered(task: Task, size: int, work: Work) -> Iterator[World]:
    """The world of this process and `size` - 1 new ones, which do `work`."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    store = TCPStore(HERE, 0, is_master=True, wait_for_workers=False)
    threads = _threads(task, size)
    others = start_processes(  # type: ignore[no-untyped-call]
        _other,
        (store.port, size, threads, _without_weights(task), work),
        nprocs=size - 1,
        join=False,
        daemon=True,
        start_method="spawn",
    ).processes

    def alive() -> bool:
        return all(one.exitcode is None for one in others)

    try:
        with connected(store, 0, size, threads=threads, alive=alive) as world:
            yield world
    except BaseException:
        for one in others:
            one.terminate()
        raise
    finally:
        for one in others:
            one.join(END_SECONDS)
            if one.exitcode is None:
                one.kill()


def _without_weights(task: Task) -> Task:
    """The task for other processes: they get the weights from process 0 once they are connected."""
    trainee = deepcopy(task.trainee)
    trainee.module.to("meta")
    return replace(task, trainee=trainee)


def _other(index: int, port: int, size: int, threads: int, task: Task, work: Work) -> None:
    """The life of a process beside process 0."""
    rank = index + 1
    store = TCPStore(HERE, port, is_master=False)
    with failures_told(store, rank):
        if accelerator().type == "cuda":
            torch.cuda.set_device(rank)
        task.trainee.module.to_empty(device="cpu")
        with connected(store, rank, size, threads=threads) as world:
            work(world, task)
