"""The search on a space that can be enumerated, with a synthetic loss and latency."""

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import ValidationError

from hat import zoo
from hat.architecture import Architecture
from hat.errors import HatError, UserError
from hat.search import OBJECTIVES, CostLimit, EvolutionSettings, SearchProblem, evolve, random_search
from hat.search.objectives import LATENCY
from tests.search.small_space import SPACE, bulk, latency, loss, milliseconds, problem

SMALL = EvolutionSettings(population=40, parents=15, mutations=20, crossovers=20, iterations=16)
BRIEF = EvolutionSettings(population=30, parents=10, mutations=15, crossovers=15, iterations=4)


class Counted:
    """A loss that counts its calls, and can be interrupted at one of them."""

    def __init__(self, function: Callable[[Architecture], float] = loss, stop_at: int = 0) -> None:
        self.function, self.stop_at = function, stop_at
        self.calls: list[Architecture] = []

    def __call__(self, architecture: Architecture) -> float:
        self.calls.append(architecture)
        if len(self.calls) == self.stop_at:
            raise KeyboardInterrupt
        return self.function(architecture)


def test_the_optimum_is_found_in_nine_of_ten_seeds(tmp_path: Path) -> None:
    """By evaluating few of the feasible architectures, and oftener than random search finds it."""
    constraint = 7.0
    architectures = list(SPACE.enumerate())
    feasible = [one for one, ms in zip(architectures, latency(architectures), strict=True) if ms <= 7]
    optimum = min(feasible, key=loss)
    assert 5_000 < len(architectures) == SPACE.size()
    evolved, drawn = 0, 0
    for seed in range(10):
        result = evolve(problem(constraint), SMALL, seed=seed, folder=tmp_path / str(seed))
        random_result = random_search(
            problem(constraint), result.evaluations, seed=seed, folder=tmp_path / str(seed)
        )
        assert result.evaluations == random_result.evaluations < len(feasible) / 5
        evolved += result.best[0].architecture == optimum
        drawn += random_result.best[0].architecture == optimum
    assert evolved >= 9
    assert drawn < evolved


def test_nothing_is_evaluated_twice_and_everything_is_feasible(tmp_path: Path) -> None:
    counted = Counted()
    found = problem(7.0, counted)
    result = evolve(found, SMALL, seed=0, folder=tmp_path)
    assert len(counted.calls) == len(set(counted.calls)) == result.evaluations
    random_search(found, result.evaluations, seed=0, folder=tmp_path)
    assert len(counted.calls) == len(set(counted.calls)) <= 2 * result.evaluations
    assert latency(counted.calls).max() <= 7.0
    before = len(counted.calls)
    assert evolve(found, SMALL, seed=0, folder=tmp_path) == result
    assert len(counted.calls) == before


def test_the_result_is_as_described(tmp_path: Path) -> None:
    result = evolve(problem(7.0), SMALL, seed=0, folder=tmp_path)
    losses = [candidate.loss for candidate in result.best]
    assert losses == sorted(losses)
    assert len({candidate.architecture for candidate in result.best}) == len(losses) == 25
    for candidate in result.best:
        assert candidate.loss == loss(candidate.architecture)
        assert candidate.costs == {"latency": milliseconds(candidate.architecture)}
        assert candidate.costs["latency"] <= 7.0
    assert len(result.history) == SMALL.iterations
    assert result.evaluations == result.history[-1].evaluations == 40 + 15 * 40
    bests = [iteration.best_loss for iteration in result.history]
    assert bests == sorted(bests, reverse=True)
    assert bests[-1] == losses[0]
    assert result.limits == {"latency": 7.0}
    assert result.lowest_reachable == {"latency": min(latency(list(SPACE.enumerate())))}
    assert json.loads(json.dumps(result.to_dict()))["best"][0] == result.best[0].to_dict()


def test_seeds_differ_and_repeat(tmp_path: Path) -> None:
    runs = [
        evolve(problem(7.0), BRIEF, seed=seed, folder=tmp_path / f"{n}") for n, seed in enumerate((0, 0, 1))
    ]
    assert runs[0] == runs[1]
    assert runs[0].history != runs[2].history
    files = [(tmp_path / f"{n}" / "evaluated.jsonl").read_bytes() for n in range(3)]
    assert files[0] == files[1] != files[2]


@pytest.mark.parametrize("stop_at", [1, 2, 31, 70, 120])
def test_an_interrupted_search_ends_the_same(stop_at: int, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    result = evolve(problem(7.0), BRIEF, seed=3, folder=whole)
    counted = Counted(stop_at=stop_at)
    with pytest.raises(KeyboardInterrupt):
        evolve(problem(7.0, counted), BRIEF, seed=3, folder=broken)
    with (broken / "evaluated.jsonl").open("ab") as stream:
        stream.write(b'{"architecture": {"qkv_d')
    assert evolve(problem(7.0, counted), BRIEF, seed=3, folder=broken) == result
    assert len(counted.calls) == result.evaluations + 1
    assert (broken / "evaluated.jsonl").read_bytes() == (whole / "evaluated.jsonl").read_bytes()


def test_an_interrupted_random_search_ends_the_same(tmp_path: Path) -> None:
    result = random_search(problem(7.0), 120, seed=0, folder=tmp_path / "whole")
    assert [iteration.evaluations for iteration in result.history] == [100, 120]
    counted = Counted(stop_at=50)
    with pytest.raises(KeyboardInterrupt):
        random_search(problem(7.0, counted), 120, seed=0, folder=tmp_path / "broken")
    assert random_search(problem(7.0, counted), 120, seed=0, folder=tmp_path / "broken") == result
    assert len(counted.calls) == 121


def test_an_unreachable_constraint_is_refused_before_any_evaluation(tmp_path: Path) -> None:
    counted = Counted()
    lowest = min(latency(list(SPACE.enumerate())))
    with pytest.raises(UserError, match=f"constraint 2 ms: .* lowest reachable latency is {lowest:.4g} ms"):
        evolve(problem(2.0, counted), SMALL, seed=0, folder=tmp_path)
    with pytest.raises(UserError, match="lowest reachable"):
        random_search(problem(2.0, counted), 10, seed=0, folder=tmp_path)
    assert not counted.calls
    for constraint in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match="not a positive number"):
            problem(constraint)


@pytest.mark.parametrize("extra", [0.0, 0.05, 0.2, 0.5])
def test_tiny_feasible_sets_end_and_are_searched_whole(extra: float, tmp_path: Path) -> None:
    architectures = list(SPACE.enumerate())
    latencies = latency(architectures)
    constraint = min(latencies) + extra
    feasible = {one for one, ms in zip(architectures, latencies, strict=True) if ms <= constraint}
    assert 0 < len(feasible) < 300
    counted = Counted()
    result = evolve(problem(constraint, counted), SMALL, seed=0, folder=tmp_path)
    assert result.best[0].architecture == min(feasible, key=loss)
    assert set(counted.calls) <= feasible
    if len(feasible) < SMALL.population:
        assert set(counted.calls) == feasible


def test_a_constraint_that_random_architectures_never_meet(tmp_path: Path) -> None:
    """In the paper's space, at the lowest reachable latency and a little above."""
    space = zoo.space("wmt-space0")

    def steep(architectures: Sequence[Architecture]) -> npt.NDArray[np.float64]:
        return np.array([sum(space.encode(one)) / 1000 for one in architectures])

    lowest = float(steep([space.smallest()])[0])
    rng = random.Random(0)
    assert min(steep([space.sample(rng) for _ in range(2000)])) > lowest + 1
    for above in (0.0, 0.01, 0.2):
        search = SearchProblem(
            space, lambda one: -sum(space.encode(one)), (CostLimit(LATENCY, steep, lowest + above),)
        )
        settings = EvolutionSettings(population=20, parents=5, mutations=10, crossovers=10, iterations=4)
        result = evolve(search, settings, seed=0, folder=tmp_path / str(above))
        assert result.lowest_reachable == {"latency": lowest}
        assert all(candidate.costs["latency"] <= lowest + above for candidate in result.best)
        rival = random_search(search, 5, seed=0, folder=tmp_path / str(above))
        assert rival.evaluations == 0


def test_the_lowest_latency_is_found_where_small_is_not_fast(tmp_path: Path) -> None:
    """Odd kernels: more heads and a middle width are faster than the smallest architecture."""
    space = zoo.space("demo")

    def odd(architectures: Sequence[Architecture]) -> npt.NDArray[np.float64]:
        return np.array([_oddmilliseconds(one) for one in architectures])

    search = SearchProblem(space, lambda _: 1.0, (CostLimit(LATENCY, odd, 0.1),))
    with pytest.raises(UserError, match="lowest reachable latency is 4 ms"):
        evolve(search, SMALL, seed=0, folder=tmp_path)


def _oddmilliseconds(one: Architecture) -> float:
    heads = [layer.heads for layer in one.encoder.layers]
    heads += [row.self_heads for row in one.decoder.layers]
    widths = [layer.ffn_dim for layer in (*one.encoder.layers, *one.decoder.layers)]
    slow = sum(0.5 * (n == 2) for n in heads) + sum(0.7 * (n != 128) for n in widths)
    return 2 + len(one.encoder.layers) + len(one.decoder.layers) + slow


def within(latency_ms: float, size: float) -> set[Architecture]:
    """All architectures within two limits."""
    every = list(SPACE.enumerate())
    costs = zip(every, latency(every), bulk(every), strict=True)
    return {one for one, ms, size_of in costs if ms <= latency_ms and size_of <= size}


def test_the_optimum_under_two_limits_is_found_by_evaluating_few(tmp_path: Path) -> None:
    """Each limit excludes architectures that the other admits."""
    feasible = within(7.0, 9e6)
    optimum, found = min(feasible, key=loss), 0
    assert optimum not in (min(within(7.0, 1e9), key=loss), min(within(1e3, 9e6), key=loss))
    for seed in range(5):
        counted = Counted()
        result = evolve(problem(7.0, counted, size=9e6), SMALL, seed=seed, folder=tmp_path / str(seed))
        rival = random_search(problem(7.0, size=9e6), 50, seed=seed, folder=tmp_path / str(seed))
        assert set(counted.calls) <= feasible
        assert {one.architecture for one in (*result.best, *rival.best)} <= feasible
        assert all(one.costs.keys() == {"latency", "size"} for one in result.best)
        found += result.best[0].architecture == optimum
    assert found >= 4


def test_a_limit_out_of_reach_is_named_among_several(tmp_path: Path) -> None:
    lowest = bulk([SPACE.smallest()])[0]
    counted = Counted()
    with pytest.raises(UserError, match=r"size constraint 1 MB: .* the lowest reachable size is") as told:
        evolve(problem(7.0, counted, size=1e6), SMALL, seed=0, folder=tmp_path)
    assert OBJECTIVES["size"].written(lowest) in str(told.value)
    assert not counted.calls


def test_limits_that_exclude_each_other_are_named_together(tmp_path: Path) -> None:
    def opposite(architectures: Sequence[Architecture]) -> npt.NDArray[np.float64]:
        return 1e7 - 1e6 * latency(architectures)

    limits = CostLimit(LATENCY, latency, 5.0), CostLimit(OBJECTIVES["size"], opposite, 4e6)
    searches: list[tuple[Any, Any]] = [(evolve, SMALL), (random_search, 10)]
    for search, effort in searches:
        with pytest.raises(UserError, match="constraint latency 5 ms and size 4 MB: each is within") as told:
            search(SearchProblem(SPACE, loss, limits), effort, seed=0, folder=tmp_path)
        assert "the nearest has latency" in str(told.value)
        assert "\n" not in str(told.value)


def test_a_diverged_loss_and_a_damaged_memo_are_told(tmp_path: Path) -> None:
    with pytest.raises(HatError, match=r"the loss of architecture \w+ is nan"):
        evolve(problem(7.0, lambda _: float("nan")), SMALL, seed=0, folder=tmp_path)
    assert (tmp_path / "evaluated.jsonl").read_bytes() == b""
    for line in ("nonsense", "[]", '{"loss": 1}', '{"loss": "x", "architecture": 1}'):
        (tmp_path / "evaluated.jsonl").write_text(line + "\n")
        with pytest.raises(UserError, match=r"evaluated\.jsonl:1"):
            evolve(problem(7.0), SMALL, seed=0, folder=tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"population": 0}, "population\\n.*greater than 1"),
        ({"mutation_probability": 1.5}, "mutation_probability\\n.*less than or equal to 1"),
        ({"parents": 200}, "parents: 200 of a population of 125"),
    ],
)
def test_bad_settings_are_named(change: dict[str, int], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        EvolutionSettings(**change)


def test_progress_never_goes_back(tmp_path: Path) -> None:
    seen: list[tuple[float, float]] = []
    evolve(
        problem(7.0),
        BRIEF,
        seed=0,
        folder=tmp_path,
        progress=lambda done, total, note: seen.append((done, total)),
    )
    assert seen == sorted(seen)
    assert seen[-1] == (120, 120)
    assert {total for _, total in seen} == {120}


def test_the_published_settings_are_the_default() -> None:
    assert EvolutionSettings().model_dump() == {
        "population": 125,
        "parents": 25,
        "mutations": 50,
        "mutation_probability": 0.3,
        "crossovers": 50,
        "iterations": 30,
    }
