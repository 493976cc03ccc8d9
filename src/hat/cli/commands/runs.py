"""The commands over run folders: `hat run`, each stage alone, and `hat status`."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from hat.cli.choices import runs as run_folders
from hat.cli.commands.recipes import list_recipes
from hat.cli.extra import training_extra
from hat.cli.options import TARGET, AsJson, Overrides, RunDir, Target
from hat.cli.progress import Terminal
from hat.errors import UserError
from hat.errors import command as shell

if TYPE_CHECKING:
    from hat.pipeline.last_status import SavedStatus


STAGES = {
    "prepare": "Clean the text, learn the vocabulary, write the token stores.",
    "train-super": "Train the SuperTransformer.",
    "search": "Search for the best SubTransformer under each latency constraint.",
    "distill": "Let the recipe's teacher, if any, label or translate the training text.",
    "train": "Train the found SubTransformers and the baselines to their final weights.",
    "evaluate": "Score, time and compare the final models.",
}

# Printed with the saved status of a run if the libraries that could bring it up to date are not installed.
OUTDATED = (
    "this is the status after the last command; recipe, text or HAT have changed since, and only an "
    "installation with the [train] extra can tell their effect"
)
ALL = ("prepare", "train-super", "measure", "fit", "search", "distill", "train", "evaluate")

RUN_EXAMPLES = """
Examples:

    hat run demo

    hat run my.yaml --set 'search.constraints=[50%,30%]' --run-dir runs/fast

    hat run runs/fast
"""


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("run", epilog=RUN_EXAMPLES)(run)
    for stage, about in STAGES.items():
        _add_stage(app, stage, about)
    app.command("status", epilog=_examples("hat status runs/demo", "hat status runs/demo --json"))(status)


def run(
    target: Annotated[str | None, TARGET] = None,
    overrides: Overrides = None,
    run_dir: RunDir = None,
    show: Annotated[bool, typer.Option("--list", help="List the built-in recipes.")] = False,
) -> None:
    """Run all stages of a recipe, from text to models; finished steps are not repeated."""
    if show:
        list_recipes()
    elif target is None:
        raise UserError("name a recipe; `hat run --list` shows the built-in ones")
    else:
        work("run", target, run_dir=run_dir, overrides=overrides, stages=ALL)


def status(
    target: Annotated[str, typer.Argument(metavar="DIR", help="A run folder.", autocompletion=run_folders)],
    overrides: Overrides = None,
    verify: Annotated[bool, typer.Option("--verify", help="Compare every result with its digest.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the finished steps with their cost, and the next step."""
    root, saved = _status(target, overrides or [], verify)
    if not saved.current:
        Terminal().say(f"{root}: {OUTDATED}")
    if as_json:
        typer.echo(json.dumps({"run": str(root), **asdict(saved)}, indent=1))
    else:
        from hat.report import print_status

        print_status(root, saved.steps, saved.constraints)


def _status(target: str, overrides: list[str], verify: bool) -> "tuple[Path, SavedStatus]":
    """A run's folder and its status: the one that the last command saved if nothing has changed since, else a
    new one, which needs the [train] extra."""
    from hat.pipeline.folder import is_run, open_folder
    from hat.pipeline.last_status import SavedStatus, saved_status

    root, saved = Path(target), None
    if is_run(root) and not overrides:
        open_folder(root)
        saved = saved_status(root, verify=verify)
    if saved is not None and (saved.current or find_spec("torch") is None):
        return root, saved
    with training_extra("status"):
        from hat.pipeline import constraint_lines, open_run
        from hat.pipeline import status as run_status
    recipe, root = open_run(target, None, overrides)
    steps = tuple(run_status(recipe, root, verify=verify))
    return root, SavedStatus(recipe.device.name, steps, tuple(constraint_lines(recipe, root)), True)


def _add_stage(app: typer.Typer, stage: str, about: str) -> None:
    def command(target: Target, overrides: Overrides = None, run_dir: RunDir = None) -> None:
        root = work(stage, target, run_dir=run_dir, overrides=overrides, stages=(stage,))
        if stage == "search":
            _print_constraints(root)

    command.__doc__ = f"{about} Continues where it was stopped."
    examples = [f"hat {stage} runs/demo"]
    if stage == "prepare":
        examples.append("hat prepare my.yaml --run-dir runs/mine")
    app.command(stage, epilog=_examples(*examples))(command)


def _print_constraints(root: Path) -> None:
    """Print the results of a run's searches and the verdicts on their constraints."""
    from hat import pipeline

    for line in pipeline.constraint_lines(*pipeline.open_run(str(root))):
        typer.echo(line)


def _examples(*lines: str) -> str:
    return "\n\n".join(("Examples:", *(f"    {line}" for line in lines)))


def work(
    command: str,
    target: str,
    *,
    run_dir: Path | None,
    overrides: list[str] | None,
    stages: tuple[str, ...],
) -> Path:
    """Run some stages of a run, with progress and messages on the terminal; the run's folder."""
    with training_extra(command):
        from hat.pipeline import open_run, recipe_as_written
        from hat.pipeline import run as run_stages
        from hat.report import print_report
    recipe, root = open_run(target, run_dir, overrides or ())
    if stages == ("distill",) and recipe.distillation is None:
        raise UserError(
            f"{target}: the recipe names no teacher; add one with --set distillation.teacher=NAME"
        )
    terminal = Terminal()
    with stoppable(terminal):
        written = recipe_as_written(target) if overrides else None
        run_stages(recipe, root, stages=stages, reporter=terminal, written=written)
    if "evaluate" in stages:
        print_report(root)
    else:
        terminal.say(f"{stages[-1]}: finished; `{shell('hat', 'status', root)}` shows the next step")
    return root


@contextmanager
def stoppable(terminal: Terminal) -> Iterator[None]:
    """A context for long work that continues where it was stopped."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        terminal.say("hat: stopped; the same command continues from here")
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM unwinds the stack as SIGINT does, so that child processes end too."""
    raise SystemExit(128 + number)
