"""What a search found, as data."""

from dataclasses import asdict, dataclass
from typing import Any

from hat.architecture import Architecture
from hat.files import check_keys
from hat.search.problem import Candidate

# How many of the best are kept: enough to measure some again and see the front.
KEPT = 25


@dataclass(frozen=True)
class Iteration:
    """Where a search stood: loss evaluations asked for so far, and the best candidate then."""

    evaluations: int
    best_loss: float
    best_latency_ms: float


@dataclass(frozen=True)
class SearchResult:
    """`best`: distinct feasible candidates, lowest loss first, at most KEPT; none if a random
    search met none. `evaluations`: distinct architectures whose loss the search asked for, whether or not
    it was known already.
    """

    method: str
    constraint_ms: float
    lowest_reachable_ms: float
    evaluations: int
    best: tuple[Candidate, ...]
    history: tuple[Iteration, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-like data, which `from_dict` reads."""
        value = asdict(self)
        value["best"] = [candidate.to_dict() for candidate in self.best]
        value["history"] = list(value["history"])
        return value

    @classmethod
    def from_dict(cls, value: object, where: str = "search result") -> "SearchResult":
        """Read what `to_dict` gave. Raises UserError naming `where` and the key."""
        top = check_keys(value, list(cls.__dataclass_fields__), where)
        best = [
            check_keys(row, ("architecture", "loss", "latency_ms"), f"{where}.best") for row in top["best"]
        ]
        history = [
            Iteration(**check_keys(row, list(Iteration.__dataclass_fields__), f"{where}.history"))
            for row in top["history"]
        ]
        candidates = tuple(
            Candidate(Architecture.from_dict(row["architecture"], where), row["loss"], row["latency_ms"])
            for row in best
        )
        return cls(**{**top, "best": candidates, "history": tuple(history)})
