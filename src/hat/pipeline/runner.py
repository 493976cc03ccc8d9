"""The work of a run: all of its stages, some of them, or some for several devices at once."""

import os
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event

from hat.errors import UserError
from hat.hardware import Timer
from hat.pipeline.acceptance import check_settings, trying
from hat.pipeline.current_status import finished, run_status, stage_status
from hat.pipeline.followers import follow, follows, leading
from hat.pipeline.last_status import forget_status, save_status
from hat.pipeline.outcome.judging import constraint_lines
from hat.pipeline.outcome.publish import publish
from hat.pipeline.reporter import DeviceReporter, Quiet, Reporter
from hat.pipeline.stages import STAGES, Stage
from hat.pipeline.steps.context import Context
from hat.pipeline.steps.folder import RECIPE_FILE, check_usable, create_folder, is_run, locked, open_folder
from hat.pipeline.steps.step import changes, execute, find
from hat.recipe.file import load_recipe
from hat.recipe.recipe import Recipe
from hat.threads import check_can_start
from hat.zoo import recipe_names

# Another device or space changes everything: the first few changes are enough to say so.
MOST_CHANGES = 6


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
    root = run_dir or default_folder(target)
    check_usable(root)
    return recipe, root


def default_folder(recipe: str) -> Path:
    """The default run folder of a recipe that is named by its file or built-in name: runs/ with that name;
    for the recipe of a run folder, that folder."""
    path = Path(recipe)
    if path.name == RECIPE_FILE and is_run(path.parent):
        return path.parent
    return Path("runs") / (path.stem if path.is_file() else recipe)


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

    The recipe is saved in the folder; settings that a stage refuses do not stay there (see `trying`).
    `written`: the recipe of a new run without overrides, where it makes sense without them. Raises UserError
    if a stage needs one that is neither done nor among `stages`, or another process works in the folder.

    Of several processes that torchrun has started, the first one does all this, and the others take part in
    its trainings (`hat.pipeline.followers`).
    """
    if follows():
        return follow(recipe, root)
    reporter = reporter or Quiet()
    check_usable(root)
    check_settings(Context(root, recipe, timer))
    with locked(root), leading():
        create_folder(root)
        with trying(root, recipe, reporter.say, written) as accept:
            context = Context(root, recipe, timer, writable=True, say=reporter.say)
            _save_status(context)
            for stage in STAGES.values():
                if stage.name in stages:
                    _do_stage(context, stage, reporter)
                    accept(stage.name)
                    _save_status(context)
                elif all(step.state == "done" for step in stage_status(context, stage)):
                    accept(stage.name)
            if "evaluate" in stages:
                publish(context)
    return None


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
            pool.submit(_do_stages, context, stages, DeviceReporter(reporter, name, stop))
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


def _do_stages(context: Context, stages: Sequence[str], reporter: Reporter) -> None:
    context.say = reporter.say
    for stage in stages:
        _do_stage(context, STAGES[stage], reporter)


def _do_stage(context: Context, stage: Stage, reporter: Reporter) -> None:
    for step in stage.steps(context):
        outcome = find(context.root, step)
        if outcome:
            reporter.say(f"{step.name}: done already")
        else:
            reasons = changes(context.root, step)
            for reason in reasons[:MOST_CHANGES]:
                reporter.say(f"{step.name}: runs again, {reason}")
            if len(reasons) > MOST_CHANGES:
                reporter.say(f"{step.name}: and {len(reasons) - MOST_CHANGES} more changes")
            with reporter.working(step.name) as progress:
                outcome = execute(context.root, step, progress)
        context.outcomes[step.name] = outcome


def _save_status(context: Context) -> None:
    """Save the run's status for `hat status`; remove it if an error keeps the steps from being known."""
    device = context.recipe.device
    try:
        steps = run_status(context)
        constraints = constraint_lines(context)
    except UserError:  # an error of a later stage, which will report it
        forget_status(context.root)
    else:
        save_status(context.root, steps, constraints=constraints, device=device.name, device_file=device.file)
