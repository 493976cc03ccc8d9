"""The commands over run folders: `hat run`, each stage alone, and `hat status`."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from hat.cli.choices import runs as run_folders
from hat.cli.commands.recipes import list_recipes
from hat.cli.extra import optional_packages
from hat.cli.options import TARGET, AsJson, Overrides, RunDir, Target, examples, json_text
from hat.cli.progress import Terminal
from hat.errors import UserError
from hat.errors import command as shell
from hat.pipeline import STAGES

if TYPE_CHECKING:
    from hat import Run
    from hat.pipeline.stages import Stage


# Printed with the saved status of a run if the libraries that could bring it up to date are not installed.
OUTDATED = (
    "this is the status after the last command; recipe, text or HAT have changed since, and only an "
    "installation with the [train] extra can tell their effect"
)
# Stages whose commands have options of their own (see `hat.cli.measure`).
WITH_OPTIONS = ("measure", "fit")

RUN_EXAMPLES = examples(
    "hat run demo",
    "hat run my.yaml --set 'search.constraints=[50%,30%]' --run-dir runs/fast",
    "hat run my.yaml --set 'search.constraints=[latency=50% and memory=64MB]'",
    "hat run runs/fast",
)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("run", epilog=RUN_EXAMPLES)(run)
    for stage in STAGES.values():
        if stage.name not in WITH_OPTIONS:
            _add_stage(app, stage)
    app.command("status", epilog=examples("hat status runs/demo", "hat status runs/demo --json"))(status)


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
        work("run", target, run_dir=run_dir, overrides=overrides)


def status(
    target: Annotated[str, typer.Argument(metavar="DIR", help="A run folder.", autocompletion=run_folders)],
    overrides: Overrides = None,
    verify: Annotated[bool, typer.Option("--verify", help="Compare every result with its digest.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the finished steps with their cost, and the next step."""
    with optional_packages("status"):
        from hat import Run

        run = Run(target, settings=overrides or ())
        now = run.status(verify=verify)
    if not now.current:
        Terminal().say(f"{run.folder}: {OUTDATED}")
    content = asdict(now)
    if as_json:
        typer.echo(json_text({"run": str(run.folder), **content}))
    else:
        from hat.report import print_status

        print_status(run.folder, content["steps"], now.constraints)


def _add_stage(app: typer.Typer, stage: "Stage") -> None:
    def command(target: Target, overrides: Overrides = None, run_dir: RunDir = None) -> None:
        run = work(stage.name, target, run_dir=run_dir, overrides=overrides)
        if stage.name == "search":
            for line in run.constraints():
                typer.echo(line)

    command.__doc__ = f"{stage.about} Continues where it was stopped."
    lines = [f"hat {stage.name} runs/demo"]
    if stage.name == "prepare":
        lines.append("hat prepare my.yaml --run-dir runs/mine")
    app.command(stage.name, epilog=examples(*lines))(command)


def work(
    command: str, target: str, *, run_dir: Path | None = None, overrides: Sequence[str] | None = None
) -> "Run":
    """Run the stage `command`, or all for "run", with progress and messages on the terminal."""
    stages = tuple(STAGES) if command == "run" else (command,)
    with optional_packages(command):
        from hat import Run
        from hat.pipeline.followers import follows
        from hat.report import print_report

        run = Run(target, run_dir, settings=overrides or ())
        recipe = run.recipe
    if command == "distill" and recipe.distillation is None:
        raise UserError(
            f"{target}: the recipe names no teacher; add one with --set distillation.teacher=NAME"
        )
    terminal = Terminal()
    with stoppable(terminal):
        run.work(stages, reporter=terminal)
    if follows():
        raise typer.Exit
    if "evaluate" in stages:
        print_report(run.folder)
    else:
        terminal.say(f"{command}: finished; `{shell('hat', 'status', run.folder)}` shows the next step")
    return Run(run.folder)


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
