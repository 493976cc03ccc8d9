"""The memory that a training will take, predicted before it starts, and the parts of batches that fit.

Passes forward and backward over a few sentences are watched, tensor by tensor. The bytes that are live at one
moment grow linearly with the number of sentences, so two such passes tell those of the largest batch.
"""

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hat.data import Batch, TokenStore, collate, sequential_batches
from hat.data.batches import Ids
from hat.errors import UserError
from hat.memory import available_memory, readable
from hat.training.accelerator import accelerator

# What a training took was between 1 / ERROR and ERROR times the prediction, on three networks
# (tests/training/test_memory_need.py).
ERROR = 1.6
# Bytes that libraries take at the first passes whatever the network: threads' stacks, kernels, buffers.
LIBRARIES = 48 << 20
# Sentences of the watched passes.
FEW, MORE = 2, 6

# Computes the gradients of a batch in one network.
Pass = Callable[[Batch], object]


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes that a training takes beside its weights, which are there already.

    `weights`, `moments`: bytes of the weights, as many as of their gradients, and of the optimiser's state.
    `traces`: the bytes of everything else at each moment of a pass, gradients included: the part whatever the
    batch, and the part of each sentence. `sentences`, `tokens`: of the largest batch.
    """

    weights: int
    moments: int
    traces: tuple[tuple[float, float], ...]
    sentences: int
    tokens: int

    def bytes(self, parts: int = 1) -> float:
        """All that the training takes with batches in `parts` parts."""
        sentences = -(-self.sentences // parts)
        return LIBRARIES + self.moments + max(fixed + each * sentences for fixed, each in self.traces)

    @property
    def least(self) -> int:
        """Bytes for gradients and moments, which no smaller batch saves."""
        return self.weights + self.moments

    def fitting_parts(self, available: float) -> int:
        """The fewest parts, a power of two, with which the training fits into `available` bytes; in single
        sentences if none fits."""
        parts = 1
        while parts < self.sentences and self.bytes(parts) > available:
            parts *= 2
        return parts


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Context that notes the bytes of live tensors that were made in it, after every operator."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.trace: list[int] = []
        self._known: set[int] = set()

    def __torch_dispatch__(
        self,
        operator: Any,
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Runs an operator and notes its new tensors."""
        result = operator(*args, **(kwargs or {}))
        for one in tree_leaves(result):
            if isinstance(one, Tensor) and one.layout == torch.strided:
                self._add(one.untyped_storage())
        self.trace.append(self.now)
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self.now += size
            weakref.finalize(storage, self._remove, key, size)

    def _remove(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def memory_need(
    one_pass: Pass, store: TokenStore, *, batch_tokens: int, weights: int, moments: int
) -> MemoryNeed:
    """The need of a training on `store`, whose updates make passes as `one_pass`, which begins without
    gradients. `weights`, `moments`: bytes of the weights, and of the optimiser's state that is to come."""
    needs = []
    for rows in _extreme_batches(store, batch_tokens):
        tokens = len(rows) * (int(np.maximum(store.source_lengths, store.target_lengths)[rows].max()) + 1)
        few, more = (
            _trace(one_pass, collate(store, np.resize(rows[[0, -1]], count))) for count in (FEW, MORE)
        )
        needs.append(MemoryNeed(weights, moments, _linear(few, more), len(rows), tokens))
    return max(needs, key=MemoryNeed.bytes)


def _trace(one: Pass, batch: Batch) -> list[int]:
    live = LiveBytes()
    with live:
        one(batch)
    return live.trace


def _linear(few: list[int], more: list[int]) -> tuple[tuple[float, float], ...]:
    """At each moment: the bytes whatever the batch, and those of a sentence.

    The loss is computed in chunks, whose number depends on the batch: moments are matched from the end, the
    pass backward, in which the need is largest.
    """
    length = min(len(few), len(more))
    slopes = [(b - a) / (MORE - FEW) for a, b in zip(few[-length:], more[-length:], strict=True)]
    return tuple((a - FEW * slope, slope) for a, slope in zip(few[-length:], slopes, strict=True))


def _extreme_batches(store: TokenStore, batch_tokens: int) -> list[Ids]:
    """The batches of which one needs most: that of the most target tokens, and that of the longest sentences.
    The borders of batches are the same in every epoch."""
    batches = sequential_batches(store, batch_tokens)
    most = max(batches, key=lambda rows: len(rows) * int(store.target_lengths[rows].max()))
    return [most] if most is batches[-1] else [most, batches[-1]]


def check_least(least: float, available: float) -> None:
    """Raises UserError if the bytes that no smaller batch saves, `MemoryNeed.least`, are not available."""
    if least > available:
        raise UserError(
            f"memory: this training needs at least {readable(least)} beside its weights, for gradients and "
            f"the optimiser's moments; {readable(available)} are available; a smaller network or vocabulary "
            "needs less"
        )


def fit(need: MemoryNeed, available: float, parts: int = 1) -> tuple[int, str]:
    """The parts in which batches fit into `available` bytes, at least `parts`, and the numbers in words; they
    are empty if batches in `parts` fit."""
    if ERROR * need.bytes(parts) <= available:
        return parts, ""
    activations = max(0.0, need.bytes() - LIBRARIES - need.least)
    numbers = (
        f"memory: about {readable(need.bytes())} needed beside the weights of {readable(need.weights)} "
        f"(gradients {readable(need.weights)}, moments {readable(need.moments)}, activations of "
        f"{need.tokens:,} tokens {readable(activations)}), {readable(available)} available"
    )
    return max(parts, need.fitting_parts(available / ERROR)), numbers


def free_memory(processes: int = 1) -> float | None:
    """Bytes that each of a machine's `processes` may still take on its accelerator; None if that is not
    known."""
    if accelerator().type == "cuda":
        return float(
            torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        )
    available = available_memory()
    return None if available is None else available / processes
