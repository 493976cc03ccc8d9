"""Processes of torchrun beside the first one, which does the run: they wait for its trainings and take part.

All of them see the run folder. Only the first process writes into it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hat.errors import HatError
from hat.pipeline.current_status import finished
from hat.pipeline.stages import STAGES
from hat.pipeline.steps.context import NotFinished
from hat.pipeline.steps.step import Step
from hat.recipe.recipe import Recipe
from hat.training.distributed import failures_told, launched, team

# A network file system may show another machine's new files late: NFS after a minute at most, by default.
LATE_SECONDS, LOOK_SECONDS = 90.0, 1.0


def follows() -> bool:
    """True in a process of torchrun's beside the first one."""
    return launched() and team().rank > 0


def follow(recipe: Recipe, root: Path) -> None:
    """Take part in the trainings of a run until the first process has finished it. Raises HatError, also
    where this machine does not see the same run."""
    with failures_told(team().store, team().rank):
        while place := team().awaited():
            step = _step(recipe, root, place)
            assert step.help is not None
            step.help(step.folder(root))
    team().finish()


@contextmanager
def leading() -> Iterator[None]:
    """Context in which the first process works on a run; when it has ended well, the others need not wait."""
    yield
    if launched():
        team().finish()


def _step(recipe: Recipe, root: Path, place: str) -> Step:
    """The step that works in a folder of the run, as the first process names it."""
    deadline = time.monotonic() + LATE_SECONDS
    while (step := _look(recipe, root, place)) is None:
        if time.monotonic() > deadline:
            raise HatError(
                f"{root}: the training in {place} is not one of this run as this machine sees it; all "
                "machines need the same run folder, text and version of HAT"
            )
        time.sleep(LOOK_SECONDS)
    return step


def _look(recipe: Recipe, root: Path, place: str) -> Step | None:
    context = finished(recipe, root)
    for stage in STAGES.values():
        try:
            for step in stage.steps(context):
                if Path(place).match(str(step.folder(Path()))):
                    return step
        except NotFinished:
            pass
    return None
