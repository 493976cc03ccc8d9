"""Driving the stages of a run: all of them, one of them, or only looking."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Protocol

from hat.errors import UserError
from hat.hardware import Timer
from hat.pipeline.acceptance import check_settings, trying
from hat.pipeline.context import Context, NotFinished
from hat.pipeline.costs import StepCost, read_cost
from hat.pipeline.folder import RECIPE_FILE, check_usable, create_folder, is_run, locked, open_folder
from hat.pipeline.last_status import StepStatus, forget_status, save_status
from hat.pipeline.publish import publish
from hat.pipeline.stages import STAGES
from hat.pipeline.steps import OLDER, changes, execute, find, finished_steps, started
from hat.pipeline.versions import version_of
from hat.progress import Progress, silent
from hat.recipe.file import load_recipe, run_folder
from hat.recipe.recipe import Recipe
from hat.threads import check_can_start
from hat.zoo import recipe_names

# The state of results that depend on unfinished ones.
DEPENDS = "repeats only if its inputs change"
# Another device or space changes everything: the first few tell.
CHANGES_TOLD = 6


class Reporter(Protocol):
    """Whoever tells the user how a run goes on."""

    def say(self, line: str) -> None:
        """Tell one thing that happened."""

    def working(self, name: str) -> AbstractContextManager[Progress]:
        """Show the progress of a step while it is worked on."""


class Quiet:
    """The Reporter that shows nothing."""

    def say(self, line: str) -> None:
        """Nothing."""

    @contextmanager
    def working(self, name: str) -> Iterator[Progress]:
        """No progress."""
        yield silent


def open_run(target: str, run_dir: Path | None = None, overrides: Sequence[str] = ()) -> tuple[Recipe, Path]:
    """Recipe and folder of a run that is named by its folder, by a recipe file or a recipe's name.

    Raises UserError.
    """
    folder = Path(target)
    if is_run(folder) or (folder.is_dir() and target not in recipe_names()):
        open_folder(folder)
        if run_dir and os.path.realpath(run_dir) != os.path.realpath(folder):
            raise UserError(f"--run-dir {run_dir}: {folder} is a run folder already")
        return load_recipe(str(folder / RECIPE_FILE), overrides), folder
    recipe = load_recipe(target, overrides)
    root = run_dir or run_folder(target)
    check_usable(root)
    return recipe, root


def run(
    recipe: Recipe,
    root: Path,
    *,
    stages: Collection[str] = tuple(STAGES),
    timer: Timer | None = None,
    reporter: Reporter | None = None,
    written: Recipe | None = None,
) -> None:
    """Do the unfinished work of `stages` in the run folder `root`, which is made if it does not exist.

    The recipe is saved in the folder; what a stage refuses of it, not for long (see `trying`). `written`:
    the recipe of a new run without overrides, where it makes sense without them. Raises UserError if a
    stage needs one that is neither done nor among `stages`, or another process works in the folder.
    """
    reporter = reporter or Quiet()
    check_usable(root)
    check_settings(Context(root, recipe, timer))
    with locked(root):
        create_folder(root)
        with trying(root, recipe, reporter.say, written) as accept:
            context = Context(root, recipe, timer, writable=True, say=reporter.say)
            _save_status(context)
            for stage in STAGES:
                if stage in stages:
                    _work(context, stage, reporter)
                    accept(stage)
                    _save_status(context)
                elif all(step.state == "done" for step in _look(context, stage)):
                    accept(stage)
            if "evaluate" in stages:
                publish(context, _costs(context))


def run_on_devices(
    recipes: Mapping[str, Recipe], root: Path, stages: Sequence[str], reporter: Reporter
) -> None:
    """Do `stages` for several devices at once, each at its own pace. `recipes`: the run's recipe with
    each device in it, by device; none of them is saved.

    Raises, when all have come to an end, what stopped the first that failed; HatError where the system
    refuses the threads.
    """
    check_usable(root)
    check_can_start(len(recipes) + 1)
    stop = Event()
    with locked(root), ThreadPoolExecutor(len(recipes)) as pool:
        contexts = {name: finished(recipe, root) for name, recipe in recipes.items()}
        working = [
            pool.submit(_work_all, context, stages, _OneOfMany(reporter, name, stop))
            for name, context in contexts.items()
        ]
        try:
            wait(working)
        except BaseException:
            stop.set()
            raise
    for name, one in zip(recipes, working, strict=True):
        if one.exception():
            reporter.say(f"{name}: {one.exception()}")
    for one in working:
        one.result()


def _work_all(context: Context, stages: Sequence[str], reporter: Reporter) -> None:
    context.say = reporter.say
    for stage in stages:
        _work(context, stage, reporter)


@dataclass(frozen=True)
class _OneOfMany:
    """A Reporter for one device among several, which can be stopped."""

    reporter: Reporter
    device: str
    stop: Event

    def say(self, line: str) -> None:
        self.reporter.say(f"{self.device}: {line}")

    @contextmanager
    def working(self, name: str) -> Iterator[Progress]:
        def report(done: float, total: float, note: str) -> None:
            if self.stop.is_set():
                raise KeyboardInterrupt
            progress(done, total, note)

        with self.reporter.working(f"{self.device}: {name}") as progress:
            yield report


def finished(recipe: Recipe, root: Path) -> Context:
    """The run as it stands, to read the results of finished stages from."""
    context = Context(root, recipe)
    for stage in STAGES:
        _look(context, stage)
    return context


def status(recipe: Recipe, root: Path, *, verify: bool = False) -> list[StepStatus]:
    """How every step of the run stands. `verify` compares all results with their digests.

    Raises UserError if a result is damaged.
    """
    context = Context(root, recipe)
    found = [entry for stage in STAGES for entry in _look(context, stage)]
    for outcome in context.outcomes.values() if verify else ():
        outcome.check(content=True)
    return found


def _save_status(context: Context) -> None:
    """Save the run's status for `hat status`; remove it if an error keeps the steps from being known."""
    from hat.pipeline.constraints import constraint_lines  # noqa: PLC0415 (which imports this module)

    device = context.recipe.device
    try:
        steps = [entry for stage in STAGES for entry in _look(context, stage)]
        constraints = constraint_lines(context.recipe, context.root)
    except UserError:  # an error of a later stage, which will report it
        forget_status(context.root)
    else:
        save_status(context.root, steps, constraints, device.name, device.file)


def _work(context: Context, stage: str, reporter: Reporter) -> None:
    for step in STAGES[stage](context):
        outcome = find(context.root, step)
        if outcome:
            reporter.say(f"{step.name}: done already")
        else:
            why = changes(context.root, step)
            for change in why[:CHANGES_TOLD]:
                reporter.say(f"{step.name}: runs again, {change}")
            if len(why) > CHANGES_TOLD:
                reporter.say(f"{step.name}: and {len(why) - CHANGES_TOLD} more changes")
            with reporter.working(step.name) as progress:
                outcome = execute(context.root, step, progress)
        context.outcomes[step.name] = outcome


def _costs(context: Context) -> dict[str, StepCost]:
    """Stage → what the steps behind the current results cost, of the stages that have any."""
    costs: dict[str, StepCost] = {}
    for outcome in context.outcomes.values():
        stage = outcome.step.split("/", maxsplit=1)[0]
        costs[stage] = costs.get(stage, StepCost()) + read_cost(outcome.folder)
    return costs


def _look(context: Context, stage: str) -> list[StepStatus]:
    """The stage's steps as far as they can be known without running anything; where more of them are
    to come, the stage itself stands for these."""
    found = []
    try:
        for step in STAGES[stage](context):
            outcome = find(context.root, step)
            if outcome:
                context.outcomes[step.name] = outcome
            state = "unfinished" if started(context.root, step) else "to do"
            cost = read_cost(step.folder(context.root))
            why = tuple(changes(context.root, step))
            folder = step.folder(context.root).relative_to(context.root).as_posix()
            found.append(StepStatus(stage, step.name, "done" if outcome else state, cost, why, folder))
    except NotFinished:
        found.append(StepStatus(stage, stage, "to do", StepCost(), _behind(context.root, stage, found)))
    return found


def _behind(root: Path, stage: str, known: Collection[StepStatus]) -> tuple[str, ...]:
    """The changes for a stage whose steps depend on unfinished ones: its earlier results, beside those of the
    steps that are `known`, and their future."""
    names = [status.step for status in known]
    made = {name: version for name, version in finished_steps(root, stage).items() if name not in names}
    older = sorted(name for name, version in made.items() if version < version_of(name))
    notes = (f"{', '.join(older)} {OLDER}",) if older else ()
    return (*notes, DEPENDS) if made.keys() - set(older) else notes
