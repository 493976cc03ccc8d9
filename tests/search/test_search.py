"""The search on a space that can be enumerated, with a synthetic loss and latency."""

import json
import random
from collections.abc import Callable, Sequence
from math import sin
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from hat import zoo
from hat.architecture import Architecture
from hat.errors import HatError, UserError
from hat.search import (
    EvolutionSettings,
    SearchProblem,
    SearchResult,
    evolve,
    random_search,
)
from hat.space import DesignSpace

SPACE = DesignSpace(
    encoder_embed_dim=(64, 48),
    decoder_embed_dim=(64, 48),
    encoder_layers=(2, 1),
    decoder_layers=(2, 1),
    encoder_ffn_dim=(128, 96, 64),
    encoder_heads=(4,),
    decoder_ffn_dim=(128, 96, 64),
    decoder_self_heads=(4, 2),
    decoder_cross_heads=(4,),
    encoder_layers_attended=(1, 2),
    qkv_dim=(64,),
)
SMALL = EvolutionSettings(40, 15, 20, 0.3, 20, 16)
BRIEF = EvolutionSettings(30, 10, 15, 0.3, 15, 4)


def latency(architectures: Sequence[Architecture]) -> npt.NDArray[np.float64]:
    return np.array([_milliseconds(one) for one in architectures])


def _milliseconds(one: Architecture) -> float:
    encoder = sum(0.1 + layer.ffn_dim / 1000 for layer in one.encoder.layers)
    decoder = sum(1 + row.ffn_dim / 100 + 0.2 * row.encoder_layers_attended for row in one.decoder.layers)
    return encoder + decoder * (1 + one.decoder.embed_dim / 128)


def loss(one: Architecture) -> float:
    """Falls with size, by layer, with ripples that make sizes interact and every loss distinct."""
    gain = 0.02 * one.encoder.embed_dim + 0.03 * one.decoder.embed_dim
    for index, layer in enumerate(one.encoder.layers):
        gain += 0.5 + layer.ffn_dim / (100 + 37 * index)
    for index, row in enumerate(one.decoder.layers):
        gain += 0.7 + row.ffn_dim / (90 + 41 * index) + 0.1 * row.self_heads
        gain += 0.2 * row.encoder_layers_attended * (one.encoder.embed_dim == 64)
    genes = SPACE.encode(one)
    ripple = sum(sin(a * b / 500 + i) for i, (a, b) in enumerate(zip(genes, genes[2:], strict=False)))
    return 10 - 0.5 * gain + 0.05 * ripple


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


def problem(constraint: float, function: Callable[[Architecture], float] = loss) -> SearchProblem:
    return SearchProblem(SPACE, function, latency, constraint)


def test_the_optimum_is_found_in_nine_of_ten_seeds(tmp_path: Path) -> None:
    """By evaluating few of the feasible architectures, and oftener than random search finds it."""
    constraint = 7.0
    architectures = list(SPACE.enumerate())
    feasible = [one for one, ms in zip(architectures, latency(architectures), strict=True) if ms <= 7]
    optimum = min(feasible, key=loss)
    assert 5_000 < len(architectures) == SPACE.size()
    evolved, drawn = 0, 0
    for seed in range(10):
        result = evolve(problem(constraint), SMALL, seed, tmp_path / str(seed))
        random_result = random_search(problem(constraint), result.evaluations, seed, tmp_path / str(seed))
        assert result.evaluations == random_result.evaluations < len(feasible) / 5
        evolved += result.best[0].architecture == optimum
        drawn += random_result.best[0].architecture == optimum
    assert evolved >= 9
    assert drawn < evolved


def test_nothing_is_evaluated_twice_and_everything_is_feasible(tmp_path: Path) -> None:
    counted = Counted()
    found = problem(7.0, counted)
    result = evolve(found, SMALL, 0, tmp_path)
    assert len(counted.calls) == len(set(counted.calls)) == result.evaluations
    random_search(found, result.evaluations, 0, tmp_path)
    assert len(counted.calls) == len(set(counted.calls)) <= 2 * result.evaluations
    assert latency(counted.calls).max() <= 7.0
    before = len(counted.calls)
    assert evolve(found, SMALL, 0, tmp_path) == result
    assert len(counted.calls) == before


def test_the_result_is_as_described(tmp_path: Path) -> None:
    result = evolve(problem(7.0), SMALL, 0, tmp_path)
    losses = [candidate.loss for candidate in result.best]
    assert losses == sorted(losses)
    assert len({candidate.architecture for candidate in result.best}) == len(losses) == 25
    for candidate in result.best:
        assert candidate.loss == loss(candidate.architecture)
        assert candidate.latency_ms == _milliseconds(candidate.architecture) <= 7.0
    assert len(result.history) == SMALL.iterations
    assert result.evaluations == result.history[-1].evaluations == 40 + 15 * 40
    bests = [iteration.best_loss for iteration in result.history]
    assert bests == sorted(bests, reverse=True)
    assert bests[-1] == losses[0]
    assert result.lowest_reachable_ms == min(latency(list(SPACE.enumerate())))
    assert SearchResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result


def test_seeds_differ_and_repeat(tmp_path: Path) -> None:
    runs = [evolve(problem(7.0), BRIEF, seed, tmp_path / f"{n}") for n, seed in enumerate((0, 0, 1))]
    assert runs[0] == runs[1]
    assert runs[0].history != runs[2].history
    files = [(tmp_path / f"{n}" / "evaluated.jsonl").read_bytes() for n in range(3)]
    assert files[0] == files[1] != files[2]


@pytest.mark.parametrize("stop_at", [1, 2, 31, 70, 120])
def test_an_interrupted_search_ends_the_same(stop_at: int, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    result = evolve(problem(7.0), BRIEF, 3, whole)
    counted = Counted(stop_at=stop_at)
    with pytest.raises(KeyboardInterrupt):
        evolve(problem(7.0, counted), BRIEF, 3, broken)
    with (broken / "evaluated.jsonl").open("ab") as stream:
        stream.write(b'{"architecture": {"qkv_d')
    assert evolve(problem(7.0, counted), BRIEF, 3, broken) == result
    assert len(counted.calls) == result.evaluations + 1
    assert (broken / "evaluated.jsonl").read_bytes() == (whole / "evaluated.jsonl").read_bytes()


def test_an_interrupted_random_search_ends_the_same(tmp_path: Path) -> None:
    result = random_search(problem(7.0), 120, 0, tmp_path / "whole")
    assert [iteration.evaluations for iteration in result.history] == [100, 120]
    counted = Counted(stop_at=50)
    with pytest.raises(KeyboardInterrupt):
        random_search(problem(7.0, counted), 120, 0, tmp_path / "broken")
    assert random_search(problem(7.0, counted), 120, 0, tmp_path / "broken") == result
    assert len(counted.calls) == 121


def test_an_unreachable_constraint_is_refused_before_any_evaluation(tmp_path: Path) -> None:
    counted = Counted()
    lowest = min(latency(list(SPACE.enumerate())))
    with pytest.raises(UserError, match=f"constraint 2 ms: .* lowest reachable latency is {lowest:.4g} ms"):
        evolve(problem(2.0, counted), SMALL, 0, tmp_path)
    with pytest.raises(UserError, match="lowest reachable"):
        random_search(problem(2.0, counted), 10, 0, tmp_path)
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
    result = evolve(problem(constraint, counted), SMALL, 0, tmp_path)
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
        search = SearchProblem(space, lambda one: -sum(space.encode(one)), steep, lowest + above)
        settings = EvolutionSettings(20, 5, 10, 0.3, 10, 4)
        result = evolve(search, settings, 0, tmp_path / str(above))
        assert result.lowest_reachable_ms == lowest
        assert all(candidate.latency_ms <= lowest + above for candidate in result.best)
        assert random_search(search, 5, 0, tmp_path / str(above)).evaluations == 0


def test_the_lowest_latency_is_found_where_small_is_not_fast(tmp_path: Path) -> None:
    """Odd kernels: more heads and a middle width are faster than the smallest architecture."""
    space = zoo.space("demo")

    def odd(architectures: Sequence[Architecture]) -> npt.NDArray[np.float64]:
        return np.array([_odd_milliseconds(one) for one in architectures])

    search = SearchProblem(space, lambda _: 1.0, odd, 0.1)
    with pytest.raises(UserError, match="lowest reachable latency is 4 ms"):
        evolve(search, SMALL, 0, tmp_path)


def _odd_milliseconds(one: Architecture) -> float:
    heads = [layer.heads for layer in one.encoder.layers]
    heads += [row.self_heads for row in one.decoder.layers]
    widths = [layer.ffn_dim for layer in (*one.encoder.layers, *one.decoder.layers)]
    slow = sum(0.5 * (n == 2) for n in heads) + sum(0.7 * (n != 128) for n in widths)
    return 2 + len(one.encoder.layers) + len(one.decoder.layers) + slow


def test_a_diverged_loss_and_a_damaged_memo_are_told(tmp_path: Path) -> None:
    with pytest.raises(HatError, match=r"the loss of architecture \w+ is nan"):
        evolve(problem(7.0, lambda _: float("nan")), SMALL, 0, tmp_path)
    assert (tmp_path / "evaluated.jsonl").read_bytes() == b""
    for line in ("nonsense", "[]", '{"loss": 1}', '{"loss": "x", "architecture": 1}'):
        (tmp_path / "evaluated.jsonl").write_text(line + "\n")
        with pytest.raises(UserError, match=r"evaluated\.jsonl:1"):
            evolve(problem(7.0), SMALL, 0, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"population": 0}, "population: 0"),
        ({"mutation_probability": 1.5}, "mutation_probability: 1.5"),
        ({"parents": 200}, "parents: 200 of a population of 125"),
    ],
)
def test_bad_settings_are_named(change: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        EvolutionSettings(**change)


def test_progress_never_goes_back(tmp_path: Path) -> None:
    seen: list[tuple[float, float]] = []
    evolve(problem(7.0), BRIEF, 0, tmp_path, lambda done, total, note: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (120, 120)
    assert {total for _, total in seen} == {120}


def test_the_published_settings_are_the_default() -> None:
    assert EvolutionSettings() == EvolutionSettings(125, 25, 50, 0.3, 50, 30)
