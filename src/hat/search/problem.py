"""What is searched: a design space, two functions of an architecture, and a constraint."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from hat.architecture import Architecture
from hat.errors import UserError
from hat.space import DesignSpace


@dataclass(frozen=True)
class SearchProblem:
    """Minimise `loss` over the architectures of `space` whose `latency` is at most `constraint_ms`.

    `loss`: of one architecture, lower is better; costly, so no search asks twice.
    `latency`: predicted milliseconds of each architecture given; cheap, and the same every time.
    """

    space: DesignSpace
    loss: Callable[[Architecture], float]
    latency: Callable[[Sequence[Architecture]], npt.NDArray[np.float64]]
    constraint_ms: float

    def __post_init__(self) -> None:
        if not (isfinite(self.constraint_ms) and self.constraint_ms > 0):
            raise UserError(f"latency constraint: {self.constraint_ms} is not a positive number of ms")

    def feasible(self, architectures: Iterable[Architecture]) -> dict[Architecture, float]:
        """Those within the constraint, each once, in the order given, with their latency in ms."""
        distinct = list(dict.fromkeys(architectures))
        if not distinct:
            return {}
        latencies = zip(distinct, self.latency(distinct), strict=True)
        return {one: float(ms) for one, ms in latencies if ms <= self.constraint_ms}


@dataclass(frozen=True)
class Candidate:
    """An evaluated architecture. `latency_ms` is predicted: a hypothesis until measured."""

    architecture: Architecture
    loss: float
    latency_ms: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-like data."""
        return {
            "architecture": self.architecture.to_dict(),
            "loss": self.loss,
            "latency_ms": self.latency_ms,
        }


def best_of(candidates: Iterable[Candidate], count: int) -> tuple[Candidate, ...]:
    """The `count` candidates of lowest loss, best first; of equal ones, those evaluated first."""
    return tuple(sorted(candidates, key=lambda candidate: candidate.loss)[:count])
