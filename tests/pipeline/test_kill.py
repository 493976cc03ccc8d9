"""Law 5: killed in the middle of any stage, a run goes on and ends in the same bytes."""

import hashlib
import json
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.pipeline.tiny import TINY

STAGES = ("prepare", "train-super", "measure", "fit", "search", "train", "evaluate")
KILLS = 3
# Times, load and process numbers; everything else must be the same.
RECORDED = re.compile(r"(^|/)(cost\.json|environment\.json|\.lock|tensorboard/.*|text-digests\.json)$")


def start(recipe: Path, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.pipeline.kill_driver", str(recipe), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def lines(process: subprocess.Popen[str]) -> list[tuple[float, str]]:
    """What the process says, with the time of each line."""
    assert process.stdout
    return [(time.monotonic(), line.strip()) for line in process.stdout]


def content(folder: Path) -> dict[str, str]:
    """Digest of every file; recorded times inside logs and reports are left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir() or RECORDED.search(name):
            continue
        data = path.read_bytes()
        if path.name == "log.jsonl":
            rows = [json.loads(line) for line in data.splitlines()]
            data = repr(
                [{key: row[key] for key in row if key != "tokens_per_second"} for row in rows]
            ).encode()
        elif path.name == "report.json":
            report = json.loads(data)
            data = json.dumps({key: report[key] for key in report if key not in ("costs", "run")}).encode()
        elif path.name == "report.md":
            data = data.split(b"cost")[0]
        found[name] = hashlib.sha256(data).hexdigest()
    return found


@pytest.mark.slow
def test_killed_three_times_in_every_stage(tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(TINY), encoding="utf-8")
    undisturbed = start(recipe, tmp_path / "a" / "run")
    said = lines(undisturbed)
    assert undisturbed.wait() == 0
    durations = {
        stage: max(t for t, line in said if line.startswith(f"end {stage}"))
        - min(t for t, line in said if line.startswith(f"begin {stage}"))
        for stage in STAGES
    }

    rng = random.Random(20)
    folder = tmp_path / "b" / "run"
    kills = dict.fromkeys(STAGES, 0)
    for stage in STAGES:
        for _ in range(KILLS):
            victim = start(recipe, folder)
            assert victim.stdout
            for line in victim.stdout:
                if line.startswith(f"begin {stage}"):
                    time.sleep(rng.random() * durations[stage] / 2)
                    victim.kill()
                    break
            victim.stdout.close()
            kills[stage] += victim.wait() == -9
    last = start(recipe, folder)
    lines(last)
    assert last.wait() == 0
    # `fit` takes milliseconds and may be over before the kill; the others were hit each time.
    assert all(count == KILLS for stage, count in kills.items() if stage != "fit"), kills
    assert content(folder) == content(tmp_path / "a" / "run")
