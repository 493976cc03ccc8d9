"""Law 5: killed in the middle of any stage, a run goes on and ends in the same bytes."""

import hashlib
import json
import random
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from hat.pipeline.stages import STAGES
from tests.pipeline.tiny import TINY

KILLS = 3
SEED = 20
# Times, load and process numbers; everything else must be the same.
RECORDED = re.compile(r"(^|/)(cost\.json|measurements\.sqlite.*|\.lock|tensorboard/.*)$")
REPORTED = ("folder", "costs", "environment")


def work(recipe: Path, folder: Path, stage: str) -> int:
    """Do what is left of the stage. Returns how many moments it can be killed at."""
    return int(drive(recipe, folder, stage).stdout)


def drive(recipe: Path, folder: Path, stage: str, moment: int = 0) -> subprocess.CompletedProcess[str]:
    driver = [sys.executable, "-m", "tests.pipeline.kill_driver"]
    command = [*driver, str(recipe), str(folder), stage, str(moment)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == (-signal.SIGKILL if moment else 0)
    return done


def content(folder: Path) -> dict[str, str]:
    """Digest of every file; recorded times inside logs and reports are left out."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(_lasting(path)).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not RECORDED.search(str(path.relative_to(folder)))
    }


def _lasting(path: Path) -> bytes:
    data = path.read_bytes()
    if path.name == "log.jsonl":
        rows = [_without(json.loads(line), "tokens_per_second") for line in data.splitlines()]
        return json.dumps(rows).encode()
    if path.name == "report.json":
        return json.dumps(_without(json.loads(data), *REPORTED)).encode()
    if path.name == "report.md":
        return data.split(b"## Costs")[0]  # the samples after them are in report.json too
    return data


def _without(record: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in names}


@pytest.mark.slow
def test_killed_three_times_in_every_stage(tmp_path: Path) -> None:
    """After each kill a copy of the run finishes the stage: this shows the bytes, and how many
    moments are left for the next kill of the run itself."""
    recipe = tmp_path / "tiny.yaml"
    taught = {**TINY, "distillation": {"teacher": "base", "kind": "both"}}
    recipe.write_text(yaml.safe_dump(taught), encoding="utf-8")
    undisturbed, killed, copy = (tmp_path / name / "run" for name in ("undisturbed", "killed", "copy"))
    rng = random.Random(SEED)
    for stage in STAGES:
        moments = work(recipe, undisturbed, stage)
        expected = content(undisturbed)
        for _ in range(KILLS):
            # Not the last one: then the stage is done, and there is nothing left to kill.
            moment = rng.randint(1, moments - 1)
            drive(recipe, killed, stage, moment)
            shutil.copytree(killed, copy)
            left = work(recipe, copy, stage)
            assert content(copy) == expected, f"{stage}, killed at moment {moment} of {moments}"
            shutil.rmtree(copy)
            moments = left
        work(recipe, killed, stage)
    assert content(killed) == expected
