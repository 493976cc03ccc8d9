"""Tables of a report."""

import json
from pathlib import Path
from typing import Any

import pytest

from hat.report import print_report, to_markdown
from hat.report.tables import clock, costs_table, models_table, slowest_model
from tests.report.example import model, report

__all__ = ["report"]  # a fixture


def row(report: dict[str, Any], name: str) -> dict[str, str]:
    table = models_table(report)
    return next(dict(zip(table.columns, cells, strict=True)) for cells in table.rows if name in cells[0])


def test_compared_with_the_slowest_baseline(report: dict[str, Any]) -> None:
    assert slowest_model(report["models"])["name"] == "big"
    found = row(report, "hat-60pct")
    assert found["model"] == "hat-60pct*"
    assert found["speed-up"] == "4.00×"
    assert found["compression"] == "2.00×"
    assert found["constraint"] == "55.0 % of the largest, limit 60 %: met"
    assert row(report, "largest")["memory MB"] == "–"


def test_without_baselines_the_slowest_of_all(report: dict[str, Any]) -> None:
    report["models"] = report["models"][2:]
    assert row(report, "hat-60pct")["speed-up"] == "8.00×"


@pytest.mark.parametrize(
    ("change", "cell", "told"),
    [
        (
            {"verdict": "not met", "value": 12.1, "high": 12.2},
            "60.5 % of the largest, limit 60 %: not met",
            "60.5 % of the largest (54.0 to 61.0), limit 60 %: not met",
        ),
        (
            {"verdict": "not shown", "value": 11.9, "high": 12.1},
            "59.5 % of the largest, limit 60 %: not shown",
            "59.5 % of the largest (54.0 to 60.5), limit 60 %: not shown",
        ),
        (
            {"text": "12ms", "verdict": "not met", "value": 12.1},
            "12.1 ms, limit 12 ms: not met",
            "12.1 ms (10.8 to 11.4), limit 12 ms: not met",
        ),
        (
            {"verdict": None},
            "55.0 % of the largest, limit 60 %: predicted only",
            "predicted from published latencies, which nothing here could verify",
        ),
    ],
)
def test_a_constraint_stands_beside_the_figure_that_decides(
    report: dict[str, Any], change: dict[str, Any], cell: str, told: str
) -> None:
    report["models"][2]["constraint"][0] |= change
    assert row(report, "hat-60pct")["constraint"] == cell
    assert any(told in note for note in models_table(report).notes)


def test_the_found_models_note(report: dict[str, Any]) -> None:
    assert (
        "hat-60pct: 55.0 % of the largest (54.0 to 57.0), limit 60 %: met, in rounds that took no part in "
        "choosing it; predicted 57.0 %; loss with inherited weights 2.500, of random search with the same "
        "100 evaluations 2.600"
    ) in models_table(report).notes


def test_each_limited_cost_has_its_verdict_and_measured_ones_their_prediction(report: dict[str, Any]) -> None:
    memory = {"cost": "memory", "text": "64MB", "limit": 64e6, "value": 60e6, "low": 59e6, "high": 61e6}
    size = {"cost": "size", "text": "8MB", "limit": 8e6, "value": 7e6, "low": 7e6, "high": 7e6}
    model = report["models"][2]
    model["constraint"] += [{**memory, "verdict": "met"}, {**size, "verdict": "met"}]
    model["predicted_of_limit"]["memory"] = 0.5
    cell = row(report, "hat-60pct")["constraint"]
    assert "memory 60.0 MB, limit 64 MB: met; size 7.00 MB, limit 8 MB: met" in cell
    (note,) = (note for note in models_table(report).notes if note.startswith("hat-60pct:"))
    assert "memory 60.0 MB (59.0 to 61.0), limit 64 MB: met; size 7.00 MB, limit 8 MB: met" in note
    assert "predicted latency 57.0 %, memory 32.0 MB; loss" in note
    del model["constraint"][0], model["predicted_of_limit"]["latency"]
    (note,) = (note for note in models_table(report).notes if note.startswith("hat-60pct:"))
    assert "met, in measurements that took no part in choosing it; predicted memory 32.0 MB; loss" in note
    model["constraint"] = model["constraint"][1:]
    (note,) = (note for note in models_table(report).notes if note.startswith("hat-60pct:"))
    assert "size 7.00 MB, limit 8 MB: met, computed, not measured; loss" in note


@pytest.mark.parametrize(
    ("milliseconds", "shown"), [(123.4, "123.4 ± 0.4"), (1.234, "1.23 ± 0.40"), (0.5, "0.500 ± 0.400")]
)
def test_latencies_have_three_digits_that_count_and_half_their_interval(
    report: dict[str, Any], milliseconds: float, shown: str
) -> None:
    report["models"][1] = model("small", "baseline", milliseconds, 2_000_000)
    assert row(report, "small")["latency ms"] == shown


def test_conditions_are_told(report: dict[str, Any]) -> None:
    told = "timed on Z80 with 1 of 2 threads, engine torch, float32, beam 4, source→target tokens 9→10, 12→14"
    assert told in models_table(report).notes


def test_noise_is_told(report: dict[str, Any]) -> None:
    assert not any("unsteady" in note for note in models_table(report).notes)
    report["models"][0]["too_noisy"] = True
    assert any("unsteady" in note for note in models_table(report).notes)


def test_costs_add_up(report: dict[str, Any]) -> None:
    assert costs_table(report).rows == (
        ("prepare", "0:01:00", "0.025"),
        ("search", "1:00:00", "1.000"),
        ("total", "1:01:00", "1.025"),
    )
    assert clock(3725.4) == "1:02:05"


def test_markdown_and_terminal_tell_the_same(
    report: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    markdown = to_markdown(report)
    assert "| hat-60pct* | 10.0 ± 0.4 |" in markdown
    (tmp_path / "report.json").write_text(json.dumps(report))
    print_report(tmp_path)
    printed = capsys.readouterr().out
    for text in (
        "hat-60pct*",
        "55.0 % of the largest, limit 60 %: met",
        "a [b]",
        "hat translate runs/r --interactive",
    ):
        assert text in printed
        assert text in markdown


def test_random_search_that_found_nothing(report: dict[str, Any]) -> None:
    report["models"][2]["random_search_loss"] = None
    assert any("100 evaluations none within the constraint" in note for note in models_table(report).notes)
