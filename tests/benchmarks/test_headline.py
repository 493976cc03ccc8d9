"""The headline benchmark in its smallest setting, stopped and gone on with."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "headline.py"


def headline(folder: Path, *more: str) -> str:
    command = [sys.executable, str(SCRIPT), "--setting", "smallest", "--tasks", "en-de"]
    command += ["--work", str(folder / "work"), "--output", str(folder / "results"), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_smallest_setting(tmp_path: Path) -> None:
    headline(tmp_path, "--minutes", "0.05")
    told = headline(tmp_path, "--baselines", "evolved-transformer-32")
    assert "weak until transformer-2+1-64 are" in told
    told = headline(tmp_path)
    report = json.loads((tmp_path / "results" / "report.json").read_text())
    rows = {row["name"]: row for row in report["tasks"]["en-de"]["models"]}
    assert set(rows) == {
        "transformer-2+1-64",
        "evolved-transformer-32",
        "hat-60pct",
        "hat-60pct-taught",
        "largest",
        "smallest",
    }
    assert set(rows["hat-60pct"]["latencies_ms"]) - {"torch cuda:0"} == {
        "native int8",
        "native kmeans4",
        "torch float32",
        "onnxruntime int8",
    }
    assert set(rows["evolved-transformer-32"]["latencies_ms"]) - {"torch cuda:0"} == {
        "torch float32",
        "onnxruntime int8",
    }
    assert rows["hat-60pct-taught"]["teacher"] in rows
    assert "found, taught by" in told
    small = rows["hat-60pct"]["four_bits"]
    assert small["bytes"] < rows["hat-60pct"]["artefact_bytes"] < rows["hat-60pct"]["float32_bytes"]
    assert "faster than evolved-transformer-32, PyTorch" in told
    assert "times as many hours" in told
    assert (tmp_path / "results" / "report.md").read_text() + "\n" == told
