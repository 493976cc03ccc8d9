"""The state of incremental decoding: encoder outputs, their keys and values, and those of decoded tokens."""

from dataclasses import dataclass, field
from typing import Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor


@dataclass(frozen=True)
class Encoded:
    """Outputs of all encoder layers, each (B, S, D), and which tokens are real (B, S), None = all."""

    layers: tuple[Tensor, ...]
    real: Tensor | None
    _ends: dict[int, tuple[Tensor, Tensor | None]] = field(default_factory=dict)

    def last(self, count: int) -> tuple[Tensor, Tensor | None]:
        """The last `count` = n layers, the last first, laid end to end in time: (B, nS, D) and their
        attention mask (B, 1, 1, nS). Laid once, for all decoder layers that attend to so many."""
        if count not in self._ends:
            layers = self.layers[: -count - 1 : -1]
            mask = None if self.real is None else self.real.repeat(1, count)[:, None, None, :]
            self._ends[count] = (layers[0] if count == 1 else torch.cat(layers, dim=1)), mask
        return self._ends[count]


@dataclass
class Memory:
    """Keys and values (B, H, nS, Q/H) of one attention to the encoder, and its mask (B, 1, 1, nS)."""

    keys: Tensor
    values: Tensor
    mask: Tensor | None

    @classmethod
    def without_keys(cls, encoded: Tensor) -> "Memory":
        """That of a layer without attention to the encoder, for the sentences of `encoded` (B, S, D)."""
        nothing = encoded.new_empty(encoded.shape[0], 1, 0, 1)
        return cls(nothing, nothing, None)

    @property
    def sentences(self) -> int:
        """B."""
        return self.keys.shape[0]

    def select(self, rows: Tensor) -> "Memory":
        mask = None if self.mask is None else self.mask[rows]
        return Memory(self.keys[rows], self.values[rows], mask)


@dataclass
class Cache:
    """Self-attention keys and values of the positions decoded so far, (B·K, H, T, Q/H)."""

    keys: Tensor | None = None
    values: Tensor | None = None

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        if self.keys is not None and self.values is not None:
            keys, values = torch.cat((self.keys, keys), dim=2), torch.cat((self.values, values), dim=2)
        self.keys, self.values = keys, values
        return keys, values

    def select(self, rows: Tensor) -> None:
        if self.keys is not None and self.values is not None:
            self.keys, self.values = self.keys[rows], self.values[rows]


@dataclass
class PassCaches:
    """The caches of a layer's passes."""

    passes: list[Cache]

    def select(self, rows: Tensor) -> None:
        for cache in self.passes:
            cache.select(rows)


class LayerCache(Protocol):
    """A layer's memory of the hypotheses, one row each: `Cache`, or that of another family."""

    def select(self, rows: Tensor) -> None:
        """Keep the rows of these hypotheses, in this order."""


class LayerMemory(Protocol):
    """A layer's view of the source sentences: `Memory`, or that of another family."""

    @property
    def sentences(self) -> int:
        """B."""

    def select(self, rows: Tensor) -> Self:
        """The memory of these sentences."""


M = TypeVar("M", bound=LayerMemory)
C = TypeVar("C", bound=LayerCache)


@dataclass
class DecoderState(Generic[M, C]):
    """The state between two decoding steps: one memory and one cache for each layer."""

    memories: list[M]
    caches: list[C]
    length: int = 0

    def select(self, rows: Tensor, parents: Tensor) -> None:
        """Keep the sentences `rows` (b); each of their hypotheses continues an old one, `parents` (b, K)."""
        flat = (rows[:, None] * parents.shape[1] + parents).flatten()
        for cache in self.caches:
            cache.select(flat)
        if len(rows) < self.memories[0].sentences:
            self.memories = [memory.select(rows) for memory in self.memories]
