"""Training of one network by several processes, on one machine or many: data parallelism.

All processes hold the same weights and train the same SubTransformer. Of each update's text, every process
takes a share; the gradients are summed over the processes, and all of them make the same step. Process 0
alone writes files and talks to the user.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from itertools import groupby
from typing import Any, Literal
from uuid import uuid4

import torch
import torch.distributed as dist
from torch import Tensor, nn, optim
from torch._C._distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from hat.data import Batch
from hat.data.batches import Ids
from hat.errors import HatError
from hat.threads import available_threads, own_threads
from hat.training.accelerator import accelerator

# From this size on a message's bandwidth matters and not its latency; DistributedDataParallel's default.
BUCKET_BYTES = 25 << 20
# Weights are stacks of matrices at most.
MOST_AXES = 3
# A process that is silent for so long has lost its network or its power; the end of one is noticed at once.
SILENCE = timedelta(minutes=10)
POLL_SECONDS = 0.1
# After a lost connection, the time in which the cause, told by another process, may still arrive.
CAUSE_SECONDS = 2.0
# Distance of the random streams of two processes: longer than a training, and 32 bits hold some hundred.
SEEDS_APART = 10_000_019
# Keys of a store: the error of a process, and the processes that are ready for a training.
FAILED, READY = "failed", "ready"


class ConnectionLost(HatError):
    """Another process of the training has ended, or cannot be reached."""


class World:
    """The processes that train one network; `rank` is the number of this one among `size`.

    Without other processes (ALONE) all methods return their arguments. The others raise ConnectionLost.
    """

    def __init__(
        self,
        rank: int = 0,
        size: int = 1,
        *,
        threads: int = 1,
        store: Store | None = None,
        group: dist.ProcessGroup | None = None,
    ) -> None:
        self.rank, self.size, self.threads = rank, size, threads
        """`threads`: those of this process; a process without others may measure them instead."""
        self._store, self._group = store, group

    @property
    def main(self) -> bool:
        """True in the process that writes files and talks to the user."""
        return self.rank == 0

    @property
    def neighbours(self) -> int:
        """The processes on this machine, this one included, as torchrun says; else all of them."""
        return int(os.environ.get("LOCAL_WORLD_SIZE", self.size)) if self.size > 1 else 1

    def part(self, count: int) -> "World | None":
        """The world of the first `count` processes, in these; None in the others. All processes call it."""
        group = dist.new_group(list(range(count)), timeout=SILENCE)
        if self.rank >= count:
            return None
        return World(self.rank, count, threads=self.threads, store=self._store, group=group)

    def share(self, batches: Sequence[Ids]) -> list[Ids]:
        """The sentences of an update's batches that belong to this process, batch by batch.

        Whole batches are dealt in turn; one left over is cut up. As the sentences of a batch are sorted by
        length, each process takes every size-th of them: equally many, and about as many tokens.
        """
        whole = len(batches) // self.size * self.size
        cut = [rows[self.rank :: self.size] for rows in batches[whole:]]
        return [*batches[self.rank : whole : self.size], *(rows for rows in cut if len(rows))]

    def seed(self, seed: int) -> int:
        """This process's seed for dropout: the processes draw different masks."""
        return seed + self.rank * SEEDS_APART

    def sums(self, *numbers: float) -> list[float]:
        """The sums of the processes' numbers."""
        if self.size == 1:
            return list(numbers)
        sums = torch.tensor(numbers, dtype=torch.float64)
        with self._connected():
            dist.all_reduce(sums, group=self._group)
        return sums.tolist()

    def sum_gradients(
        self,
        gradients: Mapping[str, Tensor],
        weights: Mapping[str, Tensor],
        *,
        precision: Literal["fp32", "bf16"] = "fp32",
    ) -> dict[str, Tensor]:
        """The sums of the processes' gradients, of the types of `weights`, by name.

        Only those that exist somewhere are exchanged, and of the gradient of a weight's leading corner only
        this corner, the largest of all processes: nothing is sent for layers that were not sampled.
        `precision`: that of gradients on their way.
        """
        own = [_size(gradients.get(name)) for name in weights]
        sizes = torch.tensor(own)
        with self._connected():
            dist.all_reduce(sizes, dist.ReduceOp.MAX, group=self._group)
        sums = {
            name: _fill(gradients.get(name), weight.new_zeros(size[: weight.dim()]))
            for (name, weight), size in zip(weights.items(), sizes.tolist(), strict=True)
            if any(size)
        }
        with self._connected():
            _sum([*sums.values()], torch.bfloat16 if precision == "bf16" else None, self._group)
        return sums

    def means(self, values: Mapping[str, float], batches: Iterable[Batch]) -> dict[str, float]:
        """The means of losses per target token over the processes; `batches`: those of this process."""
        if self.size == 1:
            return dict(values)
        tokens = sum(batch.target_tokens for batch in batches)
        *sums, count = self.sums(*(value * tokens for value in values.values()), tokens)
        return {name: total / count for name, total in zip(values, sums, strict=True)}

    def largest(self, number: int) -> int:
        """The largest of the processes' numbers."""
        if self.size == 1:
            return number
        numbers = torch.tensor([number])
        with self._connected():
            dist.all_reduce(numbers, dist.ReduceOp.MAX, group=self._group)
        return int(numbers[0])

    def from_main(self, value: Any) -> Any:
        """Process 0's value, as JSON has it, in every process."""
        if self.size == 1:
            return value
        content = json.dumps(value).encode() if self.main else b""
        length = torch.tensor([len(content)])
        with self._connected():
            dist.broadcast(length, 0, group=self._group)
            received = torch.tensor(list(content), dtype=torch.uint8)
            received = received if self.main else torch.empty(int(length[0]), dtype=torch.uint8)
            dist.broadcast(received, 0, group=self._group)
        return json.loads(received.numpy().tobytes())

    def copy_weights(self, module: nn.Module) -> None:
        """Copy process 0's weights and buffers to all."""
        if self.size > 1:
            with self._connected(), torch.no_grad():
                for tensor in (*module.parameters(), *module.buffers()):
                    dist.broadcast(tensor, 0, group=self._group)

    def copy_optimizers(self, optimizers: Iterable[optim.Optimizer]) -> None:
        """Copy the state of process 0's optimisers to all: checkpoints are read by process 0 alone."""
        if self.size > 1:
            for optimizer in optimizers:
                self._copy_optimizer(optimizer)

    def _copy_optimizer(self, optimizer: optim.Optimizer) -> None:
        state: dict[int, dict[str, Tensor]] = optimizer.state_dict()["state"] if self.main else {}
        layout = self.from_main(
            [
                [
                    index,
                    name,
                    str(tensor.dtype).removeprefix("torch."),
                    list(tensor.shape),
                    tensor.device.type,
                ]
                for index, tensors in state.items()
                for name, tensor in tensors.items()
            ]
        )
        with self._connected():
            for index, name, dtype, shape, device in layout:
                if not self.main:
                    empty = torch.empty(shape, dtype=getattr(torch, dtype), device=device)
                    state.setdefault(index, {})[name] = empty
                dist.broadcast(state[index][name], 0, group=self._group)
        if not self.main:
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})

    @contextmanager
    def _connected(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise ConnectionLost(cause_of_loss(self._store, self.size)) from error


ALONE = World()


def _size(gradient: Tensor | None) -> list[int]:
    """The shape of a gradient, as long as any; zeros for none."""
    shape = [] if gradient is None else list(gradient.shape)
    return shape + [0] * (MOST_AXES - len(shape))


def _fill(gradient: Tensor | None, whole: Tensor) -> Tensor:
    """`whole` with a gradient in its leading corner."""
    if gradient is not None:
        whole[tuple(map(slice, gradient.shape))] = gradient
    return whole


def _sum(gradients: Sequence[Tensor], precision: torch.dtype | None, group: dist.ProcessGroup | None) -> None:
    """Sum gradients over the processes, in buckets that are on their way while the next ones are packed."""
    sent = []
    for bucket in _buckets(gradients):
        flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
        flat = flat if precision is None else flat.to(precision)
        sent.append((bucket, flat, dist.all_reduce(flat, group=group, async_op=True)))
    for bucket, flat, work in sent:
        assert work is not None
        work.wait()
        pieces = torch.split_with_sizes(flat, [gradient.numel() for gradient in bucket])
        for gradient, piece in zip(bucket, pieces, strict=True):
            gradient.copy_(piece.view_as(gradient))


def _buckets(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Consecutive gradients of one type, until they have BUCKET_BYTES."""
    for _, alike in groupby(gradients, key=lambda gradient: gradient.dtype):
        bucket, size = [], 0
        for gradient in alike:
            bucket.append(gradient)
            size += gradient.nbytes
            if size >= BUCKET_BYTES:
                yield bucket
                bucket, size = [], 0
        if bucket:
            yield bucket


@contextmanager
def connected(
    store: Store,
    rank: int,
    size: int,
    *,
    threads: int,
    name: str = "training",
    alive: Callable[[], bool] = lambda: True,
) -> Iterator[World]:
    """The world of `size` processes that all enter this context, with a common `store` and `name`.

    `alive`: false once a process has ended; until all are here, only this tells. Raises ConnectionLost.
    """
    ready = PrefixStore(name, store)
    try:
        ready.set(f"{READY}/{rank}", "")
        while not ready.check([f"{READY}/{number}" for number in range(size)]):
            if not alive() or store.check([FAILED]):
                raise ConnectionLost(cause_of_loss(store, size))
            time.sleep(POLL_SECONDS)
        backend = "cpu:gloo,cuda:nccl" if accelerator().type == "cuda" else "gloo"
        dist.init_process_group(backend, store=ready, rank=rank, world_size=size, timeout=SILENCE)
    except RuntimeError as error:
        raise ConnectionLost(cause_of_loss(store, size)) from error
    try:
        yield World(rank, size, threads=threads, store=store)
    finally:
        dist.destroy_process_group()


@contextmanager
def failures_told(store: Store, rank: int) -> Iterator[None]:
    """Context in which an error of a process other than 0 is left in the store, for process 0 to report."""
    try:
        yield
    except ConnectionLost:
        raise  # of which process 0 knows
    except Exception as error:
        message = str(error) if isinstance(error, HatError) else f"{type(error).__name__}: {error}"
        store.set(FAILED, f"process {rank} on {socket.gethostname()}: {message}")
        raise


def cause_of_loss(store: Store | None, size: int) -> str:
    """The reason for a lost connection: what another process has told, where one has."""
    try:
        for _ in range(int(CAUSE_SECONDS / POLL_SECONDS)):
            if store is not None and store.check([FAILED]):
                return bytes(store.get(FAILED)).decode(errors="replace")
            time.sleep(POLL_SECONDS)
    except RuntimeError:  # the store is gone as well
        pass
    return (
        f"one of the {size} processes of the training has ended or cannot be reached; the same command goes "
        "on from the last checkpoint"
    )


class Team:
    """The processes that torchrun has started. All of them take part in trainings, one after another; process
    0 announces each, and does all other work alone while the others wait."""

    def __init__(self) -> None:
        store, self.rank, self.size = next(rendezvous("env://"))
        self.store = PrefixStore(_name_of_start(store, self.rank, self.size), store)
        self._trainings = 0
        local = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
        # torchrun sets OMP_NUM_THREADS to 1 if the user has not set it.
        self._threads = own_threads() or max(1, available_threads() // local[1])
        if accelerator().type == "cuda":
            torch.cuda.set_device(local[0])

    @contextmanager
    def training(self, folder: str, threads: int | None) -> Iterator[World]:
        """The world of the next training, which works in `folder`. `threads`: of each process; None: an even
        part of its machine's."""
        name = self._announce(folder)
        with (
            failures_told(self.store, self.rank),
            connected(self.store, self.rank, self.size, threads=threads or self._threads, name=name) as world,
        ):
            yield world

    def finish(self) -> None:
        """Process 0 has no more trainings, and the others need not wait."""
        self._announce("")

    def awaited(self) -> str:
        """The folder of the next training, once process 0 has announced it; "" after the last one."""
        key = self._key()
        try:
            while not self.store.check([key]):
                time.sleep(POLL_SECONDS)
            return bytes(self.store.get(key)).decode()
        except RuntimeError as error:
            raise ConnectionLost(cause_of_loss(None, self.size)) from error

    def _announce(self, folder: str) -> str:
        key = self._key()
        self._trainings += 1
        if self.rank == 0:
            self.store.set(key, folder)
        return key

    def _key(self) -> str:
        return f"training-{self._trainings}"


def _name_of_start(store: Store, rank: int, size: int) -> str:
    """A name that the processes have in common, and that no earlier start had: torchrun's store survives
    restarts, with all keys of processes that have ended. Process 0 tells it to the others, each of which asks
    by a new name of its own."""
    name = uuid4().hex
    if rank > 0:
        store.set(f"asks/{rank}", name)
        while not store.check([f"answer/{name}"]):
            time.sleep(POLL_SECONDS)
        name = bytes(store.get(f"answer/{name}")).decode()
        store.set(f"{name}/{rank}", "")
        return name
    while not store.check([f"{name}/{other}" for other in range(1, size)]):
        for other in range(1, size):
            if store.check([f"asks/{other}"]):
                store.set(f"answer/{bytes(store.get(f'asks/{other}')).decode()}", name)
        time.sleep(POLL_SECONDS)
    return name


def launched() -> bool:
    """True in one of several processes that torchrun has started."""
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ["WORLD_SIZE"]) > 1


@cache
def team() -> Team:
    """The processes that torchrun has started this one with. Call it if `launched`."""
    return Team()
