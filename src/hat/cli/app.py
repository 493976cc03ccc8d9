"""The command tree. A command imports the rooms it needs when it runs, so `hat --help` is instant
and the plain install's commands work without the [train] extra."""

from typing import Annotated

import typer

from hat import __version__
from hat.cli import (
    bench_engines,
    cost,
    device,
    doctor,
    export,
    interop,
    measure,
    recipes,
    runs,
    translate,
    zoo,
)

app = typer.Typer(
    name="hat",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Finds, trains and runs the fastest translation Transformer that is still good enough "
    "on your device.",
    epilog="Start with: `hat run demo`",
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"hat {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks. May stand anywhere on the line.")
    ] = False,
) -> None:
    """Options of every command. `--debug` is taken by `main`, which also finds it after the command."""


for commands in (
    runs,
    measure,
    recipes,
    translate,
    export,
    bench_engines,
    interop,
    cost,
    device,
    doctor,
    zoo,
):
    commands.add_to(app)
