"""Search that believes no prediction: candidates are measured before one is chosen, and that one once more.

Predictions propose; measurements choose. The best candidates of an evolutionary search are measured, and the
one of lowest loss whose whole interval meets the constraint is chosen. Where there is none, the predictor
was too hopeful here: the search is repeated below a corrected latency. Then a fresh measurement, which took
no part in choosing, is made once, and what it says is the result whatever it says.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from hat.architecture import Architecture
from hat.hardware import Measurement
from hat.hardware.verdict import Verdict, verdict
from hat.progress import Progress, between, silent
from hat.search.evolution import EvolutionSettings, evolve
from hat.search.problem import Candidate, SearchProblem
from hat.search.result import SearchResult

# Shares of the progress of up to three searches, and of the verification.
ATTEMPTS = ((0.0, 0.65), (0.65, 0.8), (0.8, 0.95))
SEARCHING = 0.6  # of each; measuring is the rest
VERIFICATION = "verification"
# The next search is at least this much below the last, whose candidates hardly missed the constraint.
TIGHTER = 0.97

# The milliseconds that are allowed, given the reference model's in the same rounds. A constraint relative
# to the largest SubTransformer keeps a machine that has become slower or faster from deciding.
Limit = Callable[[float], float]
# Measures architectures in a series of that name, which has nothing in it yet.
Measure = Callable[[Sequence[Architecture], str, Progress], list[Measurement]]


@dataclass(frozen=True)
class Chosen:
    """A candidate and the `measurement` that it was chosen by. `within`: all of its interval is within the
    constraint (if not, it is the nearest); `measured`: all that was measured to choose from; `search`: what
    the candidates came from."""

    candidate: Candidate
    measurement: Measurement
    within: bool
    measured: tuple[tuple[Candidate, Measurement], ...]
    search: SearchResult


@dataclass(frozen=True)
class Choice:
    """What a search ends in: what the last of `attempts` searches chose, and the `verification` that came
    after, with its verdict."""

    chosen: Chosen
    verification: Measurement
    verdict: Verdict
    attempts: int


@dataclass(frozen=True)
class Verifying:
    """How candidates are measured: `group` of them together, best first."""

    measure: Measure
    limit: Limit
    group: int

    def verdict(self, measurement: Measurement) -> Verdict:
        """What a measurement says of the constraint, whose limit is that of the same series."""
        limit_ms = self.limit(measurement.reference_ms)
        return verdict(measurement.latency_ms, measurement.high_ms, limit_ms)

    def share(self, measurement: Measurement) -> float:
        """The upper end of a measurement's interval as a share of the limit."""
        return measurement.high_ms / self.limit(measurement.reference_ms)


def search_verified(
    problem: SearchProblem,
    settings: EvolutionSettings,
    verifying: Verifying,
    seed: int,
    memo: Path,
    progress: Progress = silent,
) -> Choice:
    """Search, choose by measurements, and verify the choice once. Raises UserError where no architecture
    is predicted to meet the constraint."""
    limit_ms = problem.constraint_ms
    for attempt, (start, end) in enumerate(ATTEMPTS):
        middle = start + (end - start) * SEARCHING
        found = evolve(problem, settings, seed, memo, between(progress, start, middle))
        chosen = choose(found, verifying, f"attempt-{attempt}", between(progress, middle, end))
        tighter = _corrected(problem.constraint_ms, limit_ms, verifying.limit, chosen)
        if chosen.within or tighter < found.lowest_reachable_ms:
            break
        problem = replace(problem, constraint_ms=tighter)
    (again,) = verifying.measure([chosen.candidate.architecture], VERIFICATION, between(progress, end, 1))
    return Choice(chosen, again, verifying.verdict(again), attempt + 1)


def choose(found: SearchResult, verifying: Verifying, name: str, progress: Progress = silent) -> Chosen:
    """Measure candidates, best first, until one is within the constraint with its whole interval: the first
    such one, or else the nearest."""
    measured: list[tuple[Candidate, Measurement]] = []
    for start in range(0, len(found.best), verifying.group):
        some = found.best[start : start + verifying.group]
        architectures = [candidate.architecture for candidate in some]
        fresh = verifying.measure(architectures, f"{name}/measured-{start}", progress)
        measured += zip(some, fresh, strict=True)
        for candidate, measurement in measured[start:]:
            if verifying.verdict(measurement) is Verdict.MET:
                return Chosen(candidate, measurement, True, tuple(measured), found)
    candidate, measurement = min(measured, key=lambda pair: verifying.share(pair[1]))
    return Chosen(candidate, measurement, False, tuple(measured), found)


def _corrected(current_ms: float, limit_ms: float, limit: Limit, chosen: Chosen) -> float:
    """The predicted latency to search below next, where the candidates of the last search missed the
    constraint: lower by what their measurements exceed their predictions."""
    excess = [
        (one.latency_ms / limit(one.reference_ms)) / (candidate.latency_ms / limit_ms)
        for candidate, one in chosen.measured
    ]
    return float(min(limit_ms / median(excess), TIGHTER * current_ms))
