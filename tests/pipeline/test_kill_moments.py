"""Kill -9 at random points of every stage: the run ends with the bytes of an undisturbed one."""

import json
import multiprocessing
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hat.files import read_json
from hat.pipeline import load_recipe, run
from hat.pipeline.stages import STAGES
from hat.progress import Progress
from tests.pipeline.tiny import Recorder, flops_timer

# Children are forked from a process that has imported the pipeline: a start costs little.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["hat.pipeline"])

# What an interpreter is about to do to a file: where a kill does most harm.
EVENTS = ("open", "os.rename", "os.remove")


class Killer(Recorder):
    """Counts, by stage, what is done to files of a run, and dies of one of those moments."""

    def __init__(self, root: Path, stage: str, moment: int) -> None:
        super().__init__()
        self.root, self.fatal = str(root), (stage, moment)
        self.stage = ""
        self.counts: Counter[str] = Counter()
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.stage and event in EVENTS and str(arguments[0]).startswith(self.root):
            self.counts[self.stage] += 1
            if (self.stage, self.counts[self.stage]) == self.fatal:
                os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def working(self, name: str) -> Iterator[Progress]:
        self.stage = name.split("/", maxsplit=1)[0]
        with super().working(name) as progress:
            yield progress
        self.stage = ""


def work(recipe: Path, root: Path, stage: str, moment: int) -> None:
    """The child: a whole run, killed at some moment of a stage; leaves the counts behind."""
    killer = Killer(root, stage, moment)
    run(load_recipe(str(recipe)), root, timer=flops_timer, reporter=killer)
    root.with_suffix(".counts").write_text(json.dumps(killer.counts))


def in_child(recipe: Path, root: Path, stage: str = "", moment: int = 0) -> int | None:
    child = CONTEXT.Process(target=work, args=(recipe, root, stage, moment))
    child.start()
    child.join()
    return child.exitcode


def results(root: Path) -> dict[str, bytes]:
    """All that a run leaves, but for recorded times and logs."""
    found = {"models.json": (root / "models.json").read_bytes()}
    for cost in sorted(root.glob("steps/**/cost.json")):
        manifest = cost.with_name("manifest.json")
        for path in (manifest, *(cost.parent / name for name in read_json(manifest)["outputs"])):
            found[str(path.relative_to(root))] = path.read_bytes()
    return found


@pytest.mark.slow
def test_killed_in_every_stage_three_times(tmp_path: Path, recipe_file: Path) -> None:
    undisturbed = tmp_path / "undisturbed"
    assert in_child(recipe_file, undisturbed) == 0
    expected = results(undisturbed)
    moments = json.loads(undisturbed.with_suffix(".counts").read_text())
    assert set(moments) == set(STAGES)
    for attempt in range(3):
        rng = random.Random(attempt)
        root = tmp_path / f"killed-{attempt}"
        for stage in STAGES:
            moment = rng.randint(1, moments[stage])
            assert in_child(recipe_file, root, stage, moment) == -signal.SIGKILL
        assert in_child(recipe_file, root) == 0
        assert results(root) == expected
