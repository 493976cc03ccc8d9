"""Law 5: killed anywhere, or on a disk that fills up, a run goes on and ends in the same bytes."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from hat.pipeline.stages import STAGES
from hat.pipeline.steps.step import MANIFEST, Outcome
from hat.runtime import Artefact
from hat.training.checkpoint import load_tensors
from tests.pipeline.kill_driver import Ending, Trial
from tests.pipeline.run_content import content
from tests.pipeline.tiny import TINY
from tests.small_disk import small_disk

pytestmark = pytest.mark.slow

DISTURBANCES = 50
# Of one run, before it is looked at and another is begun.
IN_A_ROW = 4
DISK = 64 << 20
SEED = time.time_ns()
TRAINING = "training alone"


class Driver:
    """A process that does trials (see `kill_driver`)."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.pipeline.kill_driver"]
        # One thread: enough for so small a network, and no waiting for others on a busy machine.
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(command, **pipes, text=True, env=environment)

    def attempt(self, trial: Trial) -> Ending:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(asdict(trial)), file=self._process.stdin, flush=True)
        return Ending(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        self._process.communicate()


@dataclass
class Undisturbed:
    """Stage → the run before it, the content after it, and how the stage ended; and its recipe."""

    driver: Driver
    recipes: dict[str, Path] = field(default_factory=dict)
    before: dict[str, Path] = field(default_factory=dict)
    after: dict[str, dict[str, str]] = field(default_factory=dict)
    endings: dict[str, Ending] = field(default_factory=dict)

    def trial(self, case: str, folder: Path, **options: Any) -> Trial:
        stage = "train-super" if case == TRAINING else case
        return Trial(str(self.recipes[case]), str(folder), stage, **options)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Undisturbed]:
    root = tmp_path_factory.mktemp("undisturbed")
    told = Undisturbed(Driver())
    taught = {**TINY, "distillation": {"teacher": "base", "kind": "both"}}
    recipe, longer = root / "tiny.yaml", root / "longer.yaml"
    recipe.write_text(yaml.safe_dump(taught), encoding="utf-8")
    long = {"super_training": {**TINY["super_training"], "updates": 150, "patience": 0}}
    longer.write_text(yaml.safe_dump(taught | long), encoding="utf-8")
    folder = root / "run"
    for stage in STAGES:
        told.recipes[stage] = recipe
        told.before[stage] = root / f"before {stage}"
        if folder.exists():
            shutil.copytree(folder, told.before[stage])
        told.endings[stage] = told.driver.attempt(told.trial(stage, folder))
        assert told.endings[stage].how == "finished"
        told.after[stage] = content(folder)
    told.recipes[TRAINING], told.before[TRAINING] = longer, told.before["train-super"]
    copy = shutil.copytree(told.before[TRAINING], root / "training")
    told.endings[TRAINING] = told.driver.attempt(told.trial(TRAINING, copy))
    told.after[TRAINING] = content(copy)
    yield told
    told.driver.close()


@pytest.mark.parametrize("stage", [*STAGES, TRAINING])
def test_killed_fifty_times_a_stage_ends_in_the_same_bytes(
    undisturbed: Undisturbed, tmp_path: Path, stage: str
) -> None:
    """Half of the kills come at a moment of the stage, half at any time."""
    rng = random.Random(SEED)
    whole = undisturbed.endings[stage]

    def options() -> dict[str, Any]:
        if rng.random() < 0.5:
            return {"moment": rng.randint(1, whole.moments - 1)}
        return {"seconds": rng.uniform(0, whole.seconds)}

    kills = 0
    while kills < DISTURBANCES:
        run = begin(undisturbed, stage, tmp_path)
        for chosen in (options() for _ in range(rng.randint(1, IN_A_ROW))):
            ending = undisturbed.driver.attempt(undisturbed.trial(stage, run, **chosen))
            assert ending.how in ("killed", "finished"), f"seed {SEED}, {chosen}: {ending.how}"
            kills += ending.how == "killed"
            check_whole(run)
        finish(undisturbed, stage, run)


@pytest.mark.parametrize("stage", STAGES)
def test_on_a_disk_that_fills_up_a_stage_says_so_and_ends_in_the_same_bytes(
    undisturbed: Undisturbed, tmp_path: Path, stage: str
) -> None:
    rng = random.Random(SEED)
    moments = undisturbed.endings[stage].moments
    with small_disk(tmp_path / "disk", DISK) as disk:
        ballast, full = disk / "ballast", 0
        while full < DISTURBANCES:
            run = begin(undisturbed, stage, disk)
            for _ in range(rng.randint(1, IN_A_ROW)):
                slack = rng.choice((0, rng.randint(0, 1 << 16)))
                chosen = {"moment": rng.randint(1, moments - 1), "slack": slack}
                trial = undisturbed.trial(stage, run, ballast=str(ballast), **chosen)
                ending = undisturbed.driver.attempt(trial)
                ballast.unlink(missing_ok=True)
                assert ending.how in ("disk full", "finished"), f"seed {SEED}, {chosen}: {ending.how}"
                full += ending.how == "disk full"
                check_whole(run)
            finish(undisturbed, stage, run)


def begin(undisturbed: Undisturbed, stage: str, place: Path) -> Path:
    """A copy of the run before a stage."""
    run = place / "run"
    if undisturbed.before[stage].exists():
        shutil.copytree(undisturbed.before[stage], run)
    return run


def finish(undisturbed: Undisturbed, stage: str, run: Path) -> None:
    ending = undisturbed.driver.attempt(undisturbed.trial(stage, run))
    assert ending.how == "finished", f"seed {SEED}: {ending.how}"
    assert content(run) == undisturbed.after[stage], f"seed {SEED}"
    shutil.rmtree(run)


def check_whole(run: Path) -> None:
    """Whatever has its name is whole."""
    for path in run.rglob("*.json"):
        json.loads(path.read_text())
    for path in run.rglob("recipe*.yaml"):
        yaml.safe_load(path.read_text())
    for path in run.rglob(MANIFEST):
        if "step" in (manifest := json.loads(path.read_text())):
            Outcome(manifest["step"], path.parent, manifest["outputs"]).check(content=True)
    for path in run.rglob("*.safetensors"):
        if not any(part.startswith(".") for part in path.relative_to(run).parts):
            if (path.parent / "config.json").exists():
                assert dict(Artefact.load(path.parent).weights)
            else:
                load_tensors(path)
