"""The check of a machine with a GPU: its report survives whatever happens to its parts."""

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import pytest
import torch

import gpu_check
from gpu_check import LIMITS, Report, end, update_seconds, work
from gpu_parts import REHEARSAL, WHOLE, recipe_changes
from hat import Run
from hat.pipeline import STAGES
from tests.benchmarks.public_names import imports
from training_worker import CASES

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "gpu_check.sh"


def part(tmp_path: Path, code: str, limit: float = 60) -> dict[str, Any]:
    """The record of a part that runs `code`, as the file has it."""
    report = Report(tmp_path / "report.json", date="today")
    work(report, "part", [sys.executable, "-c", code], limit)
    return read(tmp_path / "report.json")["parts"]["part"]


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def test_rows_of_a_part_are_kept_and_other_lines_are_not(tmp_path: Path) -> None:
    record = part(tmp_path, 'print("hello"); print(7); print(\'{"speed": 3}\'); print("{not JSON")')
    assert record["state"] == "done"
    assert record["rows"] == [{"speed": 3}]


def test_a_part_that_fails_says_why_and_keeps_its_rows(tmp_path: Path) -> None:
    record = part(tmp_path, 'print(\'{"a": 1}\', flush=True); print("x\\n" * 99 + 1)')
    assert record["state"] == "failed"
    assert record["rows"] == [{"a": 1}]
    assert record["error"].splitlines()[-1].startswith("TypeError")
    assert len(record["error"].splitlines()) <= gpu_check.LAST_LINES


def test_a_part_out_of_time_ends_with_all_that_it_has_started(tmp_path: Path) -> None:
    code = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print('{"child": %d}' % child.pid, flush=True)
time.sleep(600)
"""
    record = part(tmp_path, code, limit=3)
    assert record["state"] == "out of time"
    (row,) = record["rows"]
    assert not running(row["child"])


def running(process: int) -> bool:
    """True unless the process has ended; one that nobody has waited for yet has ended too."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_check_that_is_cut_off_leaves_its_results(tmp_path: Path) -> None:
    output = tmp_path / "report.json"
    code = f"""
import sys
sys.path.insert(0, {str(ROOT / "benchmarks")!r})
import gpu_check
slow = "import time; print('{{\\"speed\\": 3}}', flush=True); time.sleep(600)"
gpu_check.commands = lambda data, rehearsal: {{"machine": [sys.executable, "-c", slow]}}
gpu_check.main()
"""
    check = subprocess.Popen([sys.executable, "-c", code, "data", str(output)], start_new_session=True)
    try:
        for _ in range(400):
            if output.exists() and read(output)["parts"].get("machine", {}).get("rows"):
                break
            time.sleep(0.05)
    finally:
        check.send_signal(signal.SIGTERM)
        check.wait(20)
        end(check)
    record = read(output)["parts"]["machine"]
    assert (record["state"], record["rows"]) == ("cut off", [{"speed": 3}])


def test_parts_for_which_no_time_is_left_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "report.json"
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", "data", str(output), "--seconds", "5"])
    gpu_check.main()
    parts = read(output)["parts"]
    assert list(parts) == list(LIMITS)
    assert {record["state"] for record in parts.values()} == {"skipped"}


def test_the_run_knows_the_speed_of_its_training(tmp_path: Path) -> None:
    report = Report(tmp_path / "report.json")
    assert update_seconds(report) == []
    report.part("training", rows=[{"network": "demo"}, {"network": "multi30k", "ms_per_update": 20.0}])
    assert update_seconds(report) == ["--update-seconds", "0.02"]


@pytest.mark.parametrize("sizes", [WHOLE, REHEARSAL], ids=["whole", "rehearsal"])
def test_the_recipe_of_the_run_is_valid(sizes: Any, tmp_path: Path) -> None:
    recipe = Run("multi30k", tmp_path, settings=recipe_changes(sizes, tmp_path, 0.02)).recipe
    assert recipe.device.name == sizes.device
    assert recipe.super_training.updates == (2000 if sizes is WHOLE else 6)
    assert all(case in CASES for case, _, _ in sizes.trainings)


@pytest.mark.parametrize("script", ["gpu_check", "gpu_machine"])
def test_what_a_machine_without_hat_runs_needs_none_of_it(script: str) -> None:
    assert list(imports(ROOT / "benchmarks" / f"{script}.py")) == []


def test_the_script_says_how_it_is_used() -> None:
    used = subprocess.run([SCRIPT], capture_output=True, text=True, check=False)
    assert used.returncode == 2
    assert used.stderr == "usage: scripts/gpu_check.sh DATA_FOLDER [OUTPUT]\n"


def write_text(folder: Path) -> None:
    """Sentences in the files of Multi30k: the German ones are the English ones backwards."""
    folder.mkdir()
    rng = random.Random(0)
    words = ["".join(rng.choices(ascii_lowercase, k=rng.randint(2, 8))) for _ in range(100)]
    for name, count in (("train", 300), ("val", 20), ("test_2016_flickr", 10)):
        sentences = [rng.choices(words, k=rng.randint(4, 9)) for _ in range(count)]
        for language, step in (("en", 1), ("de", -1)):
            lines = "".join(" ".join(sentence[::step]) + "\n" for sentence in sentences)
            (folder / f"{name}.{language}.gz").write_bytes(gzip.compress(lines.encode()))


@pytest.mark.slow
def test_the_check_is_rehearsed_on_the_processor(tmp_path: Path) -> None:
    pytest.importorskip("hat.runtime._native", reason="the native engine is not compiled")
    write_text(tmp_path / "text")
    output = tmp_path / "gpu.json"
    settings = {"PYTHON": sys.executable, "GPU_CHECK_REHEARSAL": "1", "GPU_CHECK_SECONDS": "1800"}
    checked = subprocess.run([SCRIPT, tmp_path / "text", output], env=os.environ | settings, check=False)
    assert checked.returncode == 0
    report = read(output)
    assert report["rehearsal"] is True
    assert date.fromisoformat(report["date"])
    assert len(report["commit"]) == 40
    parts = report["parts"]
    assert {name: record["state"] for name, record in parts.items()} == dict.fromkeys(LIMITS, "done")
    rows = {name: record["rows"] for name, record in parts.items()}
    versions, speeds = rows["machine"]
    assert versions["torch"] == torch.__version__
    assert min(speeds[key] for key in ("bfloat16_tflops", "float32_tflops", "copy_gb_per_s")) > 0
    assert rows["device check"][0]["environment"]["cores"] > 0
    assert rows["device check"][1]["calibration"]["median_ms"] > 0
    *tests, counts = rows["tests"]
    assert counts == {"files": 1, "passed": len(tests)}
    for row, (case, kind, tokens) in zip(rows["training"], REHEARSAL.trainings, strict=True):
        assert (row["network"], row["kind"], row["batch_tokens"]) == (case, kind, tokens)
        assert row["tokens_per_second"] > 0
        assert 0 < row["share_of_bf16_peak"] < 1
    (engines,) = rows["engines"]
    assert {"torch cpu", "torch cpu, one operation at a time"} <= set(engines["median_ms"])
    assert min(engines["tokens_per_second"].values()) > 0
    first, constraint, second = rows["latency loop"]
    assert first["first"]["models"] == REHEARSAL.models
    assert constraint["constraint"]["judged"] > 0
    assert second["second"]["reference_ms"] > 0
    stages = {row["stage"]: row for row in rows["run"][1:]}
    assert list(stages) == list(STAGES)
    assert stages["train-super"]["trainings"][0]["updates"] == 6
    assert stages["measure"]["models"] == 8
    assert len(stages["search"]["verdicts"]) == 1
    scored = {row["name"]: row for row in stages["evaluate"]["models"]}
    assert set(scored) == {"hat-80pct", "largest", "smallest"}
    assert min(row["latency_ms"] for row in scored.values()) > 0


@pytest.mark.slow
def test_without_its_text_the_run_says_why(tmp_path: Path) -> None:
    output = tmp_path / "gpu.json"
    command = [sys.executable, ROOT / "benchmarks" / "gpu_check.py", tmp_path, output, "--rehearsal"]
    subprocess.run([*command, "--only", "run"], check=True)
    (row,) = read(output)["parts"]["run"]["rows"]
    assert row["skipped"].startswith(f"{tmp_path} has no train.en.gz")
