"""Choosing by measurements, then verifying once: how often a search says "met" of candidates that are within
the limits, and of candidates that are not."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hat.architecture import Architecture
from hat.hardware import Measurement, MeasureProtocol
from hat.hardware.measuring.verdict import REPEATS, Figure, Verdict, verdict
from hat.intervals import looks, relative_times, series_interval, timed_enough
from hat.progress import Progress
from hat.search import Candidate, EvolutionSettings, SearchProblem, SearchResult, verified
from hat.search.verified import VERIFICATION, Choice, Measure, Trial, choose, search_verified
from tests.search.small_space import SPACE, problem

SEARCHES = 1000
CANDIDATES = 25
# As a recipe has them by default for few models.
PROTOCOL = MeasureProtocol((10,), (12,), rounds=100, interval=0.01)
SHARE = 0.6  # of the largest


def measured(true_share: float, noise: float, rng: np.random.Generator) -> Trial:
    """The timing of a model that takes so much of the limit, calls being noisy."""
    reference = 10 * (1 + noise * rng.standard_normal((PROTOCOL.rounds, 2)))
    own = 10 * SHARE * true_share * (1 + noise * rng.standard_normal((PROTOCOL.rounds, 1)))
    for count in looks(PROTOCOL.rounds):
        times = relative_times(own[:count].tolist(), reference[:count].tolist())
        if timed_enough(times, PROTOCOL.interval, PROTOCOL.rounds):
            break
    level = float(np.median(reference.mean(axis=1)))
    low, high = series_interval(times)
    figures = (level * float(np.median(times)), level * low, level * high)
    more = (0.0, count, 0.0, PROTOCOL.pairs, (1.0,), 1.0, 1.0, level, 0.0, 0.0, None, None)
    figure = Figure(*figures, limit=SHARE * level)
    return Trial({"latency": figure}, Measurement(SPACE.largest(), *figures, *more))


class Invented:
    """A device on which every candidate takes as much. It keeps the names of the series that it measures."""

    def __init__(self, measurements: Sequence[Trial], seed: int = 0) -> None:
        """`measurements`: those that may come out."""
        self.measurements, self.rng = measurements, random.Random(seed)
        self.names: list[str] = []

    def __call__(self, architectures: Sequence[Architecture], name: str, progress: Progress) -> list[Trial]:
        assert name not in self.names
        self.names.append(name)
        return self.rng.choices(self.measurements, k=len(architectures))


def device(true_share: float, noise: float, measurements: int) -> Invented:
    rng = np.random.default_rng(0)
    return Invented([measured(true_share, noise, rng) for _ in range(measurements)])


@pytest.fixture(scope="module")
def proposals() -> SearchResult:
    architectures = list(SPACE.enumerate())[:CANDIDATES]
    costs = {"latency": 6.0}
    best = tuple(Candidate(one, float(number), costs) for number, one in enumerate(architectures))
    return SearchResult("evolution", costs, {"latency": 1.0}, 100, best, ())


def verdicts(
    true_share: float, noise: float, proposals: SearchResult, monkeypatch: pytest.MonkeyPatch
) -> list[Verdict]:
    """Of searches that propose these candidates again and again."""
    many = device(true_share, noise, 3 * SEARCHES).measurements
    choices = (searched(Invented(many, seed), proposals, monkeypatch) for seed in range(SEARCHES))
    return [choice.verification.figures["latency"].verdict for choice in choices]


def searched(device: Invented, proposals: SearchResult, monkeypatch: pytest.MonkeyPatch) -> Choice:
    monkeypatch.setattr(verified, "evolve", lambda *_, **__: proposals)
    return search_verified(
        problem(6.0), EvolutionSettings(), measure=device, group=5, seed=0, memo=Path("unused")
    )


@pytest.mark.parametrize("noise", [0.01, 0.03])
@pytest.mark.parametrize("over", [0.005, 0.01, 0.02])
def test_of_candidates_over_the_limit_hardly_a_search_says_met(
    over: float, noise: float, proposals: SearchResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = verdicts(1 + over, noise, proposals, monkeypatch)
    assert found.count(Verdict.MET) <= 0.05 * SEARCHES


@pytest.mark.parametrize("noise", [0.01, 0.03, 0.05])
def test_of_candidates_well_within_the_limit_nearly_every_search_says_met(
    noise: float, proposals: SearchResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = verdicts(0.97, noise, proposals, monkeypatch)
    assert found.count(Verdict.MET) >= 0.9 * SEARCHES


def test_the_chosen_candidate_is_verified_once_and_that_is_the_result_whatever_it_says(
    proposals: SearchResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = device(0.9, 0.01, 100)
    choice = searched(fast, proposals, monkeypatch)
    assert fast.names == ["attempt-0/measured-0", VERIFICATION]
    assert choice.verification.figures["latency"].verdict is Verdict.MET
    assert choice.chosen.candidate == proposals.best[0]
    assert choice.verification != choice.chosen.trial
    slow = device(1.1, 0.01, 100)
    choice = searched(slow, proposals, monkeypatch)
    assert slow.names.count(VERIFICATION) == 1
    assert slow.names[-1] == VERIFICATION
    assert choice.attempts == 3
    figure = choice.verification.figures["latency"]
    assert figure.verdict is Verdict.NOT_MET
    assert figure.value == pytest.approx(6.6, rel=0.02)


def taking(shares: dict[Architecture, float], others: float) -> Measure:
    """A steady device on which candidates take so much of the limit."""
    rng = np.random.default_rng(0)
    return lambda architectures, *_: [measured(shares.get(one, others), 0.005, rng) for one in architectures]


def test_the_best_candidate_with_room_for_another_series_is_chosen(proposals: SearchResult) -> None:
    shares = {proposals.best[0].architecture: 1.005, proposals.best[1].architecture: 0.992}
    chosen = choose(proposals, taking(shares, 0.9), 5, "attempt-0")
    assert chosen.within
    assert chosen.candidate == proposals.best[2]
    assert len(chosen.measured) == 5


def test_where_none_is_within_the_nearest_is_chosen(proposals: SearchResult) -> None:
    measure = taking({proposals.best[7].architecture: 1.02}, 1.2)
    chosen = choose(proposals, measure, 5, "attempt-0")
    assert not chosen.within
    assert chosen.candidate == proposals.best[7]
    assert len(chosen.measured) == CANDIDATES


def test_the_progress_of_measuring_group_after_group_only_grows(proposals: SearchResult) -> None:
    shares: list[float] = []

    def measure(architectures: Sequence[Architecture], _: str, progress: Progress) -> list[Trial]:
        for number in range(len(architectures) + 1):
            progress(number, len(architectures), "measured")
        return [two(1.1, 1.1)] * len(architectures)

    choose(proposals, measure, 4, "attempt-0", lambda done, total, _: shares.append(done / total))
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)


def test_a_verdict_is_of_the_whole_interval() -> None:
    assert verdict(9.0, 10.0, 10.0) is Verdict.MET
    assert verdict(9.9, 10.1, 10.0) is Verdict.NOT_SHOWN
    assert verdict(10.1, 10.2, 10.0) is Verdict.NOT_MET


def test_repeated_measurements_say_met_of_a_cost_above_its_limit_hardly_ever() -> None:
    """As many as an interval of 95 % needs, and no more."""
    rng, figures = np.random.default_rng(0), []
    for _ in range(4000):
        figures.append(Figure.of_repeats((1.001 * (1 + 0.01 * rng.standard_normal(REPEATS))).tolist(), 1.0))
    covered = np.mean([one.low <= 1.001 <= one.high for one in figures])
    met = np.mean([one.verdict is Verdict.MET for one in figures])
    assert covered >= 0.95
    assert met <= 0.025
    assert Figure.of_repeats([0.9] * (REPEATS - 1), 1.0).verdict is Verdict.NOT_SHOWN


def two(latency_share: float, memory_share: float) -> Trial:
    """Exactly so much of a limit on the latency and one on the memory."""
    shares = {"latency": latency_share, "memory": memory_share}
    return Trial({name: Figure(share, share, share, 1.0) for name, share in shares.items()})


def test_a_candidate_within_one_limit_and_above_another_is_not_chosen(proposals: SearchResult) -> None:
    trials = [two(0.9, 1.1), two(1.1, 0.9), two(0.98, 0.97), two(0.5, 0.5), two(0.5, 0.5)]
    chosen = choose(proposals, lambda *_: trials, 5, "attempt-0")
    assert chosen.within
    assert chosen.candidate == proposals.best[2]


def test_only_the_limit_that_measurements_miss_is_tightened(
    proposals: SearchResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def evolve(problem: SearchProblem, *_: object, **__: object) -> SearchResult:
        seen.append(problem.bounds)
        return proposals

    costs = {"latency": 6.0, "size": 9e6}
    best = tuple(replace(one, costs=costs) for one in proposals.best)
    proposals = replace(proposals, limits=costs, lowest_reachable={"latency": 1.0, "size": 1.0}, best=best)
    monkeypatch.setattr(verified, "evolve", evolve)
    measured = Trial({"latency": Figure(0.9, 0.9, 0.9, 1.0), "size": Figure(1.1, 1.1, 1.1, 1.0)})
    choice = search_verified(
        problem(6.0, size=9e6),
        EvolutionSettings(),
        measure=lambda architectures, *_: [measured] * len(architectures),
        group=5,
        seed=0,
        memo=Path("unused"),
    )
    assert [one["latency"] for one in seen] == [6.0, 6.0, 6.0]
    assert [one["size"] for one in seen] == pytest.approx([9e6, 9e6 / 1.1, 9e6 / 1.1 * 0.97], rel=0.01)
    assert not choice.chosen.within


def test_without_a_measured_cost_the_best_candidate_is_chosen(proposals: SearchResult) -> None:
    chosen = choose(proposals, lambda architectures, *_: [Trial({})] * len(architectures), 5, "attempt-0")
    assert chosen.within
    assert chosen.candidate == proposals.best[0]
