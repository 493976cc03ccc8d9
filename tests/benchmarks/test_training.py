"""The benchmark of training: its report, and its workers at the smallest settings."""

import json
from pathlib import Path

import pytest

from training import Contender, Worker, main, markdown, operations_per_token, summary


def row(times: dict[str, float]) -> dict[str, object]:
    contenders = {
        name: {
            "updates": [{"tokens": 100, "seconds": taken}] * 6,
            "memory": 2_000_000_000,
            "split": {"forward": {"products": 0.25, "other": 0.05}, "backward": {"products": 0.5}},
        }
        for name, taken in times.items()
    }
    peaks = [{"bfloat16": 1e12}]
    return {"case": "demo", "kind": "largest", "threads": 1, "contenders": contenders, "peaks": peaks}


def test_the_report_shows_speed_gain_and_split() -> None:
    measured = row({"before": 2.0, "now": 1.0})
    lines = summary(measured, 2400, "seconds")
    assert [line["tokens_per_second"] for line in lines] == [50, 100]
    assert [line["gain"] for line in lines] == [2.0, 1.0]
    share = 100 * operations_per_token("demo", "largest", 2400) / 1e12
    assert lines[1]["share_of_peak"] == pytest.approx(share, abs=1e-3)
    machine = {"cpu": "Z80", "flags": [], "cores_allowed": 2, "load_average": 0.1, "torch": "2"}
    report = {"date": "2026-11-28", "environment": machine, "before": "abc", "clock": "seconds"}
    text = markdown(report | {"rows": [measured | {"summary": lines}]})
    assert "| demo, largest | 1 | before | 50 | 0 % | 2.0 | 2.00 | 2.00–2.00 |" in text
    assert "| demo, largest | 1 | now | 300 | 500 | 0 | 0 | 750 |" in text


@pytest.mark.parametrize("contender", [Contender("now"), Contender("plain loop", plain=True)])
def test_a_contender_trains(contender: Contender) -> None:
    worker = Worker(contender, "demo", "sampled", 1)
    try:
        (update,) = worker.ask("1")["updates"]
        assert update["tokens"] > 0
        assert update["seconds"] > 0
        assert worker.ask("split")["split"]["forward"]["products"] > 0
    finally:
        worker.close()


@pytest.mark.slow
def test_the_benchmark_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smallest = ["--cases", "demo:sampled", "--threads", "1", "--rounds", "2", "--output", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["training.py", *smallest])
    main()
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert set(report["rows"][0]["contenders"]) == {"now", "plain loop"}
