"""Search with measured results: candidates are measured before one is chosen, and the choice is measured
again.

Predictions propose; measurements choose. The best candidates of an evolutionary search are measured, and of
those whose whole interval meets the constraint the one of lowest loss is chosen. If there is none, the
predictor was too optimistic here, and the search is repeated below a corrected latency. Finally the choice is
measured once afresh; this measurement took no part in choosing and is the result, whatever its verdict.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from hat.architecture import Architecture
from hat.hardware import Measurement
from hat.hardware.measuring.verdict import Verdict, verdict
from hat.progress import Progress, between, silent
from hat.search.evolution import EvolutionSettings, evolve
from hat.search.problem import Candidate, SearchProblem
from hat.search.result import SearchResult

# Shares of the progress: up to three searches, then the verification.
ATTEMPTS = ((0.0, 0.65), (0.65, 0.8), (0.8, 0.95))
SEARCHING = 0.6  # of each; measuring is the rest
VERIFICATION = "verification"
# The next search's limit is at most this share of the last one's, even if candidates missed that narrowly.
TIGHTER = 0.97

# Two series of one model differ by this share more than their intervals say: its weights lie elsewhere in
# memory, and other models run before it. A choice leaves room for a later series, which decides.
BETWEEN_SERIES = 0.01

# The milliseconds that are allowed, given the reference model's in the same rounds. A constraint relative
# to the largest SubTransformer keeps a machine that has become slower or faster from deciding.
Limit = Callable[[float], float]
# Measures architectures in a series of that name, which has nothing in it yet.
Measure = Callable[[Sequence[Architecture], str, Progress], list[Measurement]]


@dataclass(frozen=True)
class Chosen:
    """A candidate and the `measurement` that it was chosen by. `within`: its whole interval is BETWEEN_SERIES
    below the limit (otherwise it is the nearest one); `measured`: all candidates measured to choose from;
    `search`: the result that the candidates come from."""

    candidate: Candidate
    measurement: Measurement
    within: bool
    measured: tuple[tuple[Candidate, Measurement], ...]
    search: SearchResult


@dataclass(frozen=True)
class Choice:
    """The end of a search: the choice of the last of `attempts` searches, and its `verification`, a later
    measurement with a verdict."""

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
        """The verdict of a measurement on the constraint, with the limit of the same series."""
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
    """Search, choose by measurements, and verify the choice once. Raises UserError if no architecture is
    predicted to meet the constraint."""
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
    """Measure candidates, best first, until the whole interval of one is BETWEEN_SERIES below the limit;
    returns that one, or else the nearest."""
    measured: list[tuple[Candidate, Measurement]] = []
    for start in range(0, len(found.best), verifying.group):
        some = found.best[start : start + verifying.group]
        architectures = [candidate.architecture for candidate in some]
        fresh = verifying.measure(architectures, f"{name}/measured-{start}", progress)
        measured += zip(some, fresh, strict=True)
        for candidate, measurement in measured[start:]:
            if verifying.share(measurement) <= 1 - BETWEEN_SERIES:
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
