"""The ranking study: its intervals, its verdicts on known rankings, and going on after a stop."""

import json
from math import asin, pi
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ranking
import ranking_report
from hat.predictor import leave_one_out
from ranking_report import agreement, interval, markdown, tau_of
from ranking_study import Rows
from tests.pipeline.tiny import TINY
from tests.predictor.test_ranking import entries, simulated


def test_intervals_cover_tau_and_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    """24 architectures at a time, of which inherited and stand-alone loss have a known correlation."""
    monkeypatch.setattr(ranking_report, "RESAMPLES", 200)
    rng, correlation, series = np.random.default_rng(0), 0.9, 150
    covered = np.zeros(2)
    for seed in range(series):
        alone = rng.standard_normal(24)
        inherited = 0.1 + correlation * alone + (1 - correlation**2) ** 0.5 * rng.standard_normal(24)
        gaps = inherited - alone
        for place, (statistic, truth) in enumerate(
            [
                (tau_of([inherited], alone), 2 / pi * asin(correlation)),
                (lambda indices, gaps=gaps: float(gaps[indices].mean()), 0.1),
            ]
        ):
            low, high = interval(statistic, 24, seed)
            covered[place] += low <= truth <= high
    # 95 % of 150 less twice the standard deviation of such a count.
    assert (covered / series >= 0.915).all(), covered / series
    assert (covered < series).all(), "intervals that always cover say nothing"


def record(**changes: Any) -> dict[str, Any]:
    """Twelve architectures; "good" ranks them rightly, "bad" in the opposite order."""
    rng = np.random.default_rng(0)
    losses = np.linspace(1.4, 2.0, 12)
    alone = np.column_stack([losses + 0.004 * rng.standard_normal(12) for _ in range(2)])
    mean = alone.mean(axis=1)
    return {
        "alone": alone.tolist(),
        "inherited": {"good": [(mean + 0.1).tolist()] * 2, "bad": [(5 - mean).tolist()] * 2},
        "baselines": {"parameter count": (-mean).tolist(), "decoder depth": [1.0] * 6 + [2.0] * 6},
    } | changes


def test_known_rankings_have_known_agreements() -> None:
    found = agreement(record())
    good, bad = found["strategies"]["good"], found["strategies"]["bad"]
    assert (good["tau"]["value"], bad["tau"]["value"]) == (1, -1)
    assert good["gap"] == {"value": 0.1, "interval": [0.1, 0.1]}
    assert good["beyond_first"]["value"] == 0
    assert bad["beyond_first"] == {"value": -2, "interval": [-2, -2]}
    assert found["baselines"]["parameter count"]["tau"]["value"] == 1
    assert found["baselines"]["decoder depth"]["tau"]["value"] < -0.5
    assert found["baselines"]["another seed, trained alone"]["tau"]["value"] > 0.9


def test_a_second_seed_of_some_architectures_counts_for_these() -> None:
    whole = record()
    some = [losses if number < 5 else losses[:1] for number, losses in enumerate(whole["alone"])]
    found = agreement(whole | {"alone": some})
    alone = np.array([np.mean(losses) for losses in some])
    gap = np.mean(whole["inherited"]["good"][0] - alone)
    assert found["strategies"]["good"]["gap"]["value"] == pytest.approx(gap, abs=1e-4)
    assert found["baselines"]["another seed, trained alone"]["tau"]["value"] == 1
    single = agreement(whole | {"alone": [losses[:1] for losses in some]})
    assert "another seed, trained alone" not in single["baselines"]


def test_the_report_shows_every_strategy_and_baseline() -> None:
    found = record()
    report = found | {
        "date": "2026-01-01",
        "environment": {"cpu": "A", "cores_allowed": 2, "torch": "2"},
        "recipe": "demo",
        "space_name": "its space",
        "settings": ["norm=pre"],
        "alone_training": {"updates": 800, "batch_tokens": 1200},
        "super_updates": 1800,
        "processor_seconds": 90.0,
        "costs": {"good": 1, "bad": 2.5},
        "updates": {"good": 1800, "bad": 720},
        "agreement": agreement(found),
    }
    text = markdown(report)
    assert "| good | 1.00 | 1800 | 1.000 [1.000, 1.000] | 0.100 [0.100, 0.100] | 0.000" in text
    assert "| bad | 2.50 | 720 | -1.000" in text
    assert "Settings changed: norm=pre." in text
    for baseline in ("parameter count", "decoder depth", "another seed, trained alone"):
        assert f"| {baseline} | " in text


def test_published_tasks_are_in_the_report(tmp_path: Path) -> None:
    for seed in (1, 2):
        (tmp_path / f"task{seed}.json").write_text(json.dumps(entries(simulated(seed, 8))))
    found = ranking.published(tmp_path)
    assert found["task1"]["ranker"] == leave_one_out(simulated(1, 8)).ranker
    assert found["task2"]["transferred"].keys() == {"task1"}
    text = ranking_report.published_table(found)
    assert f"| task1 | 8 | {found['task1']['inherited']:.3f} |" in text


def test_finished_rows_are_not_made_again_and_a_torn_one_is(tmp_path: Path) -> None:
    path, made = tmp_path / "rows.jsonl", list[str]()

    def work(key: str) -> dict[str, Any]:
        made.append(key)
        return {"loss": len(made)}

    for name in ("a", "b", "a"):
        Rows(path).get({"name": name}, work)
    assert len(made) == 2
    path.write_text(path.read_text()[:-15])  # killed while it wrote the second line
    rows = Rows(path)
    assert rows.get({"name": "a"}, work)["loss"] == 1
    assert rows.get({"name": "b"}, work)["loss"] == 3
    assert Rows(path).get({"name": "b"}, work)["loss"] == 3
    assert len(made) == 3


def test_a_study_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The measured cost of updates is a finished row as well, and decides the same numbers again."""
    monkeypatch.setattr("ranking_study.COST_UPDATES", 3)
    changes = [f"{part}_training.updates=4" for part in ("super", "baseline")]
    options = [
        *(
            "--count",
            "5",
            "--super-seeds",
            "1",
            "--strategies",
            "uniform",
            "sandwich",
            "--work",
            str(tmp_path / "work"),
            "--output",
            str(tmp_path / "result"),
        ),
        *("--set", *(f"{key}={TINY[key]}" for key in ("data", "space")), *changes),
    ]
    monkeypatch.setattr("sys.argv", ["ranking.py", *options, "--processor-minutes", "0"])
    ranking.main()
    assert not (tmp_path / "result").exists()
    monkeypatch.setattr("sys.argv", ["ranking.py", *options])
    ranking.main()
    lines = (tmp_path / "work" / "rows.jsonl").read_bytes()
    first = (tmp_path / "result" / "report.json").read_bytes()
    assert lines.count(b"\n") == 5 * 2 + 2 + 1
    assert not list((tmp_path / "work" / "trainings").iterdir()), "weights are removed"
    ranking.main()
    assert (tmp_path / "work" / "rows.jsonl").read_bytes() == lines
    assert (tmp_path / "result" / "report.json").read_bytes()[:200] == first[:200]
