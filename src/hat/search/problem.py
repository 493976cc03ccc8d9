"""The problem that a search solves: a design space, a loss to minimise, and limits on costs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from hat.architecture import Architecture
from hat.errors import UserError
from hat.search.objectives import Objective
from hat.space import DesignSpace

# The costs of architectures (N,): cheap to compute, and the same every time.
Predict = Callable[[Sequence[Architecture]], npt.NDArray[np.float64]]
# Name of an objective → figure.
Costs = Mapping[str, float]


@dataclass(frozen=True)
class CostLimit:
    """`predict` gives the `objective` of architectures, which may be at most `limit`, in the objective's
    unit. Raises UserError for an impossible limit."""

    objective: Objective
    predict: Predict
    limit: float

    def __post_init__(self) -> None:
        if not (isfinite(self.limit) and self.limit > 0):
            raise UserError(f"{self.name} constraint: {self.limit} is not a positive number")

    @property
    def name(self) -> str:
        """The name of the objective."""
        return self.objective.name


@dataclass(frozen=True)
class SearchProblem:
    """Minimise `loss` over the architectures of `space` that are within all `limits`.

    `loss`: of one architecture, lower is better; expensive, so no search computes it twice.
    """

    space: DesignSpace
    loss: Callable[[Architecture], float]
    limits: tuple[CostLimit, ...]

    @property
    def bounds(self) -> dict[str, float]:
        """Name of an objective → its limit."""
        return {one.name: one.limit for one in self.limits}

    def with_bounds(self, bounds: Costs) -> "SearchProblem":
        """This problem with other limits for the objectives in `bounds`."""
        limits = tuple(replace(one, limit=bounds.get(one.name, one.limit)) for one in self.limits)
        return replace(self, limits=limits)

    def feasible(self, architectures: Iterable[Architecture]) -> dict[Architecture, Costs]:
        """The architectures within all limits, each once, in the order given, with their costs."""
        kept: dict[Architecture, Costs] = {one: {} for one in architectures}
        for cost in self.limits:
            predicted = cost.predict([*kept]) if kept else ()
            kept = {
                one: {**costs, cost.name: float(value)}
                for (one, costs), value in zip(kept.items(), predicted, strict=True)
                if value <= cost.limit
            }
        return kept

    def largest_share(self, architectures: Sequence[Architecture]) -> npt.NDArray[np.float64]:
        """The largest share of a limit that each architecture (N,) takes: at most 1 within all limits."""
        shares = [cost.predict(architectures) / cost.limit for cost in self.limits]
        largest: npt.NDArray[np.float64] = np.max(shares, axis=0)
        return largest


@dataclass(frozen=True)
class Candidate:
    """An evaluated architecture. Its `costs` are predictions, hypotheses until they are measured."""

    architecture: Architecture
    loss: float
    costs: Costs

    def to_dict(self) -> dict[str, Any]:
        """JSON-like data."""
        return {"architecture": self.architecture.to_dict(), "loss": self.loss, "costs": dict(self.costs)}


def best_of(candidates: Iterable[Candidate], count: int) -> tuple[Candidate, ...]:
    """The `count` candidates of lowest loss, best first; of equal ones, those evaluated first."""
    return tuple(sorted(candidates, key=lambda candidate: candidate.loss)[:count])
