"""Search with measured results: candidates are measured before one is chosen, and the choice is measured
again.

Predictions propose; measurements choose. The best candidates of an evolutionary search are measured, and of
those whose whole intervals are within all limits the one of lowest loss is chosen. If there is none, the
predictors were too optimistic here, and the search is repeated below corrected limits. Finally the choice is
measured once afresh; this measurement took no part in choosing and is the result, whatever its verdicts.
Costs that are known exactly need no measurement: a candidate is within their limits.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from hat.architecture import Architecture
from hat.errors import UserError
from hat.hardware import Measurement
from hat.hardware.measuring.verdict import Figure
from hat.progress import Progress, between, silent
from hat.search.evolution import EvolutionSettings, evolve
from hat.search.feasible import check_reachable
from hat.search.problem import Candidate, Costs, SearchProblem
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


@dataclass(frozen=True)
class Trial:
    """The measured costs of a candidate, by objective. `measurement`: of the latency, if that is limited."""

    figures: Mapping[str, Figure]
    measurement: Measurement | None = None

    @property
    def share(self) -> float:
        """The largest upper end of an interval as a share of its limit."""
        return max((figure.share for figure in self.figures.values()), default=0.0)


# Measures architectures in a series of that name, which has nothing in it yet.
Measure = Callable[[Sequence[Architecture], str, Progress], Sequence[Trial]]


@dataclass(frozen=True)
class Chosen:
    """A candidate and the `trial` that it was chosen by. `within`: all its intervals are BETWEEN_SERIES
    below their limits (otherwise it is the nearest one); `measured`: all candidates measured to choose from;
    `search`: the result that the candidates come from."""

    candidate: Candidate
    trial: Trial
    within: bool
    measured: tuple[tuple[Candidate, Trial], ...]
    search: SearchResult


@dataclass(frozen=True)
class Choice:
    """The end of a search: the choice of the last of `attempts` searches, and its `verification`, a later
    measurement, whose figures have verdicts."""

    chosen: Chosen
    verification: Trial
    attempts: int


def search_verified(
    problem: SearchProblem,
    settings: EvolutionSettings,
    *,
    measure: Measure,
    group: int,
    seed: int,
    memo: Path,
    progress: Progress = silent,
) -> Choice:
    """Search, choose by measurements of `group` candidates at a time, and verify the choice once. Raises
    UserError if no architecture is predicted to be within the limits."""
    limits = problem.bounds
    for attempt, (start, end) in enumerate(ATTEMPTS):
        middle = start + (end - start) * SEARCHING
        result = evolve(problem, settings, seed=seed, folder=memo, progress=between(progress, start, middle))
        chosen = choose(result, measure, group, f"attempt-{attempt}", between(progress, middle, end))
        tighter = problem.with_bounds(_corrected(problem.bounds, limits, chosen))
        if chosen.within or not _is_reachable(tighter, result.lowest_reachable, seed):
            break
        problem = tighter
    (again,) = measure([chosen.candidate.architecture], VERIFICATION, between(progress, end, 1))
    return Choice(chosen, again, attempt + 1)


def choose(
    result: SearchResult, measure: Measure, group: int, name: str, progress: Progress = silent
) -> Chosen:
    """Measure candidates, best first, until all intervals of one are BETWEEN_SERIES below their limits;
    returns that one, or else the nearest."""
    measured: list[tuple[Candidate, Trial]] = []
    count = len(result.best)
    for start in range(0, count, group):
        some = result.best[start : start + group]
        part = between(progress, start / count, (start + len(some)) / count)
        trials = measure([candidate.architecture for candidate in some], f"{name}/measured-{start}", part)
        measured += zip(some, trials, strict=True)
        for candidate, trial in measured[start:]:
            if trial.share <= 1 - BETWEEN_SERIES:
                return Chosen(candidate, trial, True, tuple(measured), result)
    candidate, trial = min(measured, key=lambda pair: pair[1].share)
    return Chosen(candidate, trial, False, tuple(measured), result)


def _corrected(current: Costs, limits: Costs, chosen: Chosen) -> Costs:
    """The limits of the next search: each limit that a candidate of the last search missed, lowered by the
    excess of measurements over predictions."""
    corrected = {}
    for name in chosen.trial.figures:
        figures = [trial.figures[name] for _, trial in chosen.measured]
        if any(figure.share > 1 - BETWEEN_SERIES for figure in figures):
            excess = median(
                (figure.value / figure.limit) / (candidate.costs[name] / limits[name])
                for figure, (candidate, _) in zip(figures, chosen.measured, strict=True)
            )
            corrected[name] = float(min(limits[name] / excess, TIGHTER * current[name]))
    return corrected


def _is_reachable(problem: SearchProblem, lowest: Costs, seed: int) -> bool:
    if any(limit < lowest[name] for name, limit in problem.bounds.items()):
        return False
    try:
        if len(problem.limits) > 1:
            check_reachable(problem, seed)
    except UserError:
        return False
    return True
