"""The result of a search, as data."""

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Self

from hat.search.problem import Candidate, Costs, SearchProblem, best_of

KEPT = 25  # of the best candidates: enough to measure some again and see the front


@dataclass(frozen=True)
class Iteration:
    """The state of a search: loss evaluations asked for so far, and the best candidate then."""

    evaluations: int
    best_loss: float
    best_costs: Costs


@dataclass(frozen=True)
class SearchResult:
    """`limits`, `lowest_reachable`: of each objective. `evaluations`: the number of distinct architectures
    whose loss the search asked for, known already or not. `best`: distinct feasible candidates, lowest loss
    first, at most KEPT; none if a random search met none."""

    method: str
    limits: Costs
    lowest_reachable: Costs
    evaluations: int
    best: tuple[Candidate, ...]
    history: tuple[Iteration, ...]

    @classmethod
    def of(
        cls,
        method: str,
        problem: SearchProblem,
        *,
        lowest: Costs,
        scored: Collection[Candidate],
        history: Iterable[Iteration],
    ) -> Self:
        """The result of a search that scored these candidates. `lowest`: the lowest reachable costs."""
        best = best_of(scored, KEPT)
        return cls(method, problem.bounds, lowest, len(scored), best, tuple(history))

    def to_dict(self) -> dict[str, Any]:
        """JSON-like data."""
        best = [candidate.to_dict() for candidate in self.best]
        return {**asdict(self), "best": best, "history": [asdict(one) for one in self.history]}
