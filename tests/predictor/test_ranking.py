"""The ranker: Kendall's τ, invariances, what it wins on simulated and on published qualities, bad input."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from hat import zoo
from hat.errors import UserError
from hat.predictor import QualityRanker, TrainedAlone, leave_one_out, transferred
from hat.predictor.ranking import CAPACITY, kendall_tau

# 30 architectures each of WMT'14 En-De and En-Fr, with BLEU trained alone and inherited, from UBC-NLP/llmas.
PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "data" / "quality"
needs_published = pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published qualities are not here")


def simulated(seed: int, count: int = 30, noise: float = 0.3) -> TrainedAlone:
    """Quality that grows with capacity, of which inherited quality shows half."""
    space, rng = zoo.space("wmt-space0"), np.random.default_rng(seed)
    architectures = [space.sample(random.Random(1000 * seed + number)) for number in range(count)]
    capacity = np.array([[measure(one) for measure in CAPACITY.values()] for one in architectures])
    gain = ((capacity - capacity.mean(axis=0)) / capacity.std(axis=0)).sum(axis=1)
    alone = 25 + gain + noise * rng.standard_normal(count)
    inherited = 22 + 0.5 * gain + rng.standard_normal(count)
    return TrainedAlone(architectures, inherited, alone)


@pytest.mark.parametrize("ties", [False, True])
def test_kendalls_tau_is_scipys(ties: bool) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        one, other = rng.standard_normal((2, 12))
        if ties:
            one, other = one.round(), other.round()
        assert kendall_tau(one, other) == pytest.approx(stats.kendalltau(one, other).statistic)
    assert kendall_tau([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) == 0


def test_the_ranker_agrees_better_than_inherited_quality_in_simulations() -> None:
    """Also when it was fitted to another task, whose levels are others."""
    gains, elsewhere = [], []
    for seed in range(20):
        task, other = simulated(seed), simulated(seed + 100)
        here = leave_one_out(task)
        gains.append(here.ranker - here.inherited)
        moved = replace(other, inherited=5 * other.inherited - 100, alone=2 * other.alone)
        elsewhere.append(transferred(moved, task).ranker - here.inherited)
    assert np.mean(gains) > 0.1
    assert np.mean(elsewhere) > 0.1


def test_the_ranker_finds_nothing_where_there_is_nothing() -> None:
    taus = []
    for seed in range(30):
        task = simulated(seed)
        shuffled = np.random.default_rng(seed).permutation(task.alone)
        taus.append(leave_one_out(replace(task, alone=shuffled)).ranker)
    assert np.mean(taus) < 0.05


def test_units_do_not_matter() -> None:
    task = simulated(3)
    moved = replace(task, inherited=task.inherited / 7 - 3, alone=task.alone * 10 + 1)
    assert leave_one_out(moved) == leave_one_out(task)


@needs_published
@pytest.mark.parametrize("name", ["wmt14ende", "wmt14enfr"])
def test_the_ranker_agrees_with_published_qualities(name: str) -> None:
    found = leave_one_out(TrainedAlone.load(PUBLISHED / f"{name}.json"))
    assert found.ranker >= 0.80
    assert found.inherited == pytest.approx(0.73, abs=0.005)
    assert found.parameters == pytest.approx(0.635, abs=0.015)


@needs_published
def test_a_ranker_of_one_published_task_serves_the_other() -> None:
    one, other = (TrainedAlone.load(PUBLISHED / f"wmt14{pair}.json") for pair in ("ende", "enfr"))
    assert transferred(one, other).ranker >= 0.80
    assert transferred(other, one).ranker >= 0.80


def entries(task: TrainedAlone) -> list[dict[str, Any]]:
    return [
        {
            "architecture": architecture.to_dict(),
            "scratch": {"valid_bleu": 0.0, "test_bleu": float(alone)},
            "inherited": {"valid_bleu": float(inherited), "test_bleu": 0.0},
        }
        for architecture, inherited, alone in zip(task.architectures, task.inherited, task.alone, strict=True)
    ]


def test_a_file_gives_the_same_agreement(tmp_path: Path) -> None:
    task = simulated(1, 8)
    (tmp_path / "task.json").write_text(json.dumps(entries(task)))
    assert leave_one_out(TrainedAlone.load(tmp_path / "task.json")) == leave_one_out(task)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: {"rows": rows}, "expected a list"),
        (lambda rows: rows[:3], "at least 4"),
        (lambda rows: [*rows, {}], r"\[8\]: missing key architecture, scratch, inherited"),
        (lambda rows: [*rows[:7], rows[7] | {"bleu": 3}], r"\[7\]: unknown key .*bleu"),
        (lambda rows: [*rows[:7], rows[7] | {"inherited": {"valid_bleu": 3}}], "missing key test_bleu"),
        (lambda rows: [*rows[:7], rows[7] | {"architecture": {}}], r"\[7\]\.architecture: missing key"),
        (
            lambda rows: [*rows[:7], rows[7] | {"scratch": {"valid_bleu": 1, "test_bleu": "much"}}],
            "alone: not numbers",
        ),
    ],
)
def test_a_bad_file_is_refused_by_name(tmp_path: Path, change: Any, message: str) -> None:
    path = tmp_path / "task.json"
    path.write_text(json.dumps(change(entries(simulated(1, 8)))))
    with pytest.raises(UserError, match=message) as raised:
        TrainedAlone.load(path)
    assert str(path) in str(raised.value)


def test_bad_qualities_are_refused() -> None:
    task = simulated(2, 6)
    with pytest.raises(UserError, match=r"inherited: nan is not a finite number"):
        replace(task, inherited=[*task.inherited[:5], float("nan")])
    with pytest.raises(UserError, match=r"alone: .* qualities for 6 architectures"):
        replace(task, alone=task.alone[:5])
    ranker = QualityRanker.fit(task)
    with pytest.raises(UserError, match="inherited"):
        ranker.scores(task.architectures, [1.0])
    with pytest.raises(UserError, match="at least two"):
        ranker.adapted(task.architectures[:1], [1.0])
