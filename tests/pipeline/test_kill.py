"""Kill -9 at random points of every stage: the run ends with the bytes of an undisturbed one."""

import multiprocessing
import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hat.files import read_json
from hat.pipeline import load_recipe, run
from hat.pipeline.stages import STAGES
from hat.progress import Progress
from tests.pipeline.tiny import Recorder, flops_timer

# Children are forked from a process that has imported the pipeline: a start costs nothing.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["hat.pipeline"])


class Killer(Recorder):
    """Kills its own process some seconds after the first step of a stage begins."""

    def __init__(self, stage: str, delay: float) -> None:
        super().__init__()
        self.stage, self.delay = stage, delay

    @contextmanager
    def working(self, name: str) -> Iterator[Progress]:
        if name.split("/")[0] == self.stage:
            timer = threading.Timer(self.delay, os.kill, (os.getpid(), signal.SIGKILL))
            timer.daemon = True
            timer.start()
            self.stage = ""
        with super().working(name) as progress:
            yield progress


def work(recipe: Path, root: Path, stage: str, delay: float) -> None:
    """The child: a whole run, killed in `stage` after `delay` seconds."""
    run(load_recipe(str(recipe)), root, timer=flops_timer, reporter=Killer(stage, delay))


def in_child(recipe: Path, root: Path, stage: str = "", delay: float = 0) -> int | None:
    child = CONTEXT.Process(target=work, args=(recipe, root, stage, delay))
    child.start()
    child.join()
    return child.exitcode


def results(root: Path) -> dict[str, bytes]:
    """All that a run leaves, but for recorded times and logs."""
    found = {}
    for manifest in sorted(root.glob("steps/**/manifest.json")):
        outputs = read_json(manifest).get("outputs", {})
        if isinstance(outputs, dict) and (manifest.parent / "cost.json").exists():
            for path in (manifest, *(manifest.parent / name for name in outputs)):
                found[str(path.relative_to(root))] = path.read_bytes()
    found["models.json"] = (root / "models.json").read_bytes()
    return found


def stage_seconds(root: Path, stage: str) -> float:
    costs = [read_json(path) for path in (root / "steps" / stage).glob("**/cost.json")]
    return sum(float(cost["wall_seconds"]) for cost in costs)


@pytest.mark.slow
def test_killed_in_every_stage_three_times(tmp_path: Path, recipe_file: Path) -> None:
    undisturbed = tmp_path / "undisturbed"
    assert in_child(recipe_file, undisturbed) == 0
    expected = results(undisturbed)
    assert len(expected) > 50
    kills = 0
    for attempt in range(3):
        rng = random.Random(attempt)
        root = tmp_path / f"killed-{attempt}"
        for stage in STAGES:
            delay = rng.uniform(0, stage_seconds(undisturbed, stage))
            code = in_child(recipe_file, root, stage, delay)
            assert code in (0, -signal.SIGKILL)
            kills += code != 0
        assert in_child(recipe_file, root) == 0
        assert results(root) == expected
    assert kills > 10
