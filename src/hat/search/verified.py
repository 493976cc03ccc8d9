"""Search that believes no prediction: candidates are measured before one is chosen, and once more after.

Predictions propose; measurements decide. The best candidates of an evolutionary search are measured,
the one of lowest loss that meets the constraint is chosen, and a fresh measurement verifies it. Where
none is verified, the predictor was too hopeful here: the search is repeated below a corrected latency.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from hat.architecture import Architecture
from hat.hardware import Measurement
from hat.progress import Progress, between, silent
from hat.search.evolution import EvolutionSettings, evolve
from hat.search.problem import Candidate, SearchProblem
from hat.search.result import SearchResult

# Shares of the progress of up to three searches.
ATTEMPTS = ((0.0, 0.7), (0.7, 0.85), (0.85, 1.0))
SEARCHING = 0.6  # of each; measuring is the rest

# The milliseconds that are allowed, given the reference model's in the same rounds. A constraint relative
# to the largest SubTransformer keeps a machine that has become slower or faster from deciding.
Limit = Callable[[float], float]
# Measures architectures in a series of that name, which has nothing in it yet.
Measure = Callable[[Sequence[Architecture], str, Progress], list[Measurement]]


@dataclass(frozen=True)
class Choice:
    """A chosen candidate. `measurement` decided for it, `verification` came after (the same where
    nothing met the constraint); `verified`: both are within the constraint. `measured`: what else was
    measured in the last attempt; `search`: what the candidates came from."""

    candidate: Candidate
    measurement: Measurement
    verification: Measurement
    verified: bool
    verifications: int
    measured: tuple[tuple[Candidate, Measurement], ...]
    search: SearchResult
    attempts: int = 1


@dataclass(frozen=True)
class Verifying:
    """How candidates are measured: `group` of them together, best first."""

    measure: Measure
    limit: Limit
    group: int


def search_verified(
    problem: SearchProblem,
    settings: EvolutionSettings,
    verifying: Verifying,
    seed: int,
    memo: Path,
    progress: Progress = silent,
) -> Choice:
    """The best candidate that two measurements find within the constraint, or else, not verified, the
    one that was measured fastest. Raises UserError where no architecture is predicted to meet it."""
    limit_ms = problem.constraint_ms
    for attempt, (start, end) in enumerate(ATTEMPTS):
        middle = start + (end - start) * SEARCHING
        found = evolve(problem, settings, seed, memo, between(progress, start, middle))
        choice = choose(found, verifying, f"attempt-{attempt}", between(progress, middle, end))
        tighter = _corrected(problem.constraint_ms, limit_ms, verifying.limit, choice)
        if choice.verified or tighter < found.lowest_reachable_ms:
            break
        problem = replace(problem, constraint_ms=tighter)
    return replace(choice, attempts=attempt + 1)


def choose(found: SearchResult, verifying: Verifying, name: str, progress: Progress = silent) -> Choice:
    """Measure candidates, best first, until one meets the constraint twice."""
    measured: list[tuple[Candidate, Measurement]] = []
    verified: list[tuple[Candidate, Measurement, Measurement]] = []

    def choice(chosen: tuple[Candidate, Measurement, Measurement], is_verified: bool) -> Choice:
        return Choice(*chosen, is_verified, len(verified), tuple(measured), found)

    for start in range(0, len(found.best), verifying.group):
        some = found.best[start : start + verifying.group]
        architectures = [candidate.architecture for candidate in some]
        again = verifying.measure(architectures, f"{name}/measured-{start}", progress)
        fresh = list(zip(some, again, strict=True))
        measured += fresh
        for candidate, measurement in fresh:
            if _meets(verifying.limit, measurement):
                series = f"{name}/verified-{len(verified)}"
                (second,) = verifying.measure([candidate.architecture], series, progress)
                verified.append((candidate, measurement, second))
                if _meets(verifying.limit, second):
                    return choice(verified[-1], True)
    if not verified:
        candidate, measurement = min(measured, key=lambda pair: pair[1].latency_ms)
        return choice((candidate, measurement, measurement), False)
    return choice(min(verified, key=lambda triple: triple[2].latency_ms), False)


def _corrected(current_ms: float, limit_ms: float, limit: Limit, choice: Choice) -> float:
    """The predicted latency to search below next, where the candidates of the last search missed the
    constraint: lower by what their measurements exceed their predictions."""
    excess = [
        (one.latency_ms / limit(one.reference_ms)) / (candidate.latency_ms / limit_ms)
        for candidate, one in choice.measured
    ]
    return float(min(limit_ms / median(excess), 0.97 * current_ms))


def _meets(limit: Limit, measurement: Measurement) -> bool:
    return measurement.latency_ms <= limit(measurement.reference_ms)
