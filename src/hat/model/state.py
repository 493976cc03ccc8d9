"""What decoding step by step carries along: encoder outputs, their keys and values, and those decoded."""

from dataclasses import dataclass, field
from typing import Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor


@dataclass
class Encoded:
    """Outputs of all encoder layers, each (B, S, D), and which tokens are real (B, S), None = all."""

    layers: list[Tensor]
    real: Tensor | None


@dataclass
class Memory:
    """What one attention to the encoder sees: keys and values (B, H, nS, Q/H), mask (B, 1, 1, nS)."""

    keys: Tensor
    values: Tensor
    mask: Tensor | None

    @property
    def sentences(self) -> int:
        """B."""
        return self.keys.shape[0]

    def select(self, rows: Tensor) -> "Memory":
        mask = None if self.mask is None else self.mask[rows]
        return Memory(self.keys[rows], self.values[rows], mask)


@dataclass
class Cache:
    """Self-attention keys and values of the positions decoded so far, (B·K, H, T, Q/H).

    `mask`: which of them may be seen; None = all.
    """

    keys: Tensor | None = None
    values: Tensor | None = None
    mask: Tensor | None = None

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        if self.keys is not None and self.values is not None:
            keys, values = (
                torch.cat((self.keys, keys), dim=2),
                torch.cat((self.values, values), dim=2),
            )
        self.keys, self.values = keys, values
        return keys, values

    def select(self, rows: Tensor) -> None:
        if self.keys is not None and self.values is not None:
            self.keys, self.values = self.keys[rows], self.values[rows]


class Selects(Protocol):
    """What a layer keeps of each hypothesis."""

    def select(self, rows: Tensor) -> None:
        """Go on with these hypotheses."""


class Remembers(Protocol):
    """What a layer keeps of each sentence."""

    @property
    def sentences(self) -> int:
        """How many sentences."""

    def select(self, rows: Tensor) -> Self:
        """That of these sentences."""


M = TypeVar("M", bound=Remembers)
C = TypeVar("C", bound=Selects)


@dataclass
class DecoderState(Generic[M, C]):
    """Everything incremental decoding carries from step to step, layer by layer."""

    memories: list[M]
    caches: list[C]
    length: int = field(default=0)

    def select(self, rows: Tensor, parents: Tensor) -> None:
        """Go on with the sentences `rows` (b), their hypotheses continuing beams `parents` (b, K)."""
        flat = (rows[:, None] * parents.shape[1] + parents).flatten()
        for cache in self.caches:
            cache.select(flat)
        if len(rows) < self.memories[0].sentences:
            self.memories = [memory.select(rows) for memory in self.memories]
