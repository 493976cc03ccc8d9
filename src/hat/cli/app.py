"""The command tree. A command imports the rooms it needs when it runs, so `hat --help` is instant
and the plain install's commands work without the [train] extra."""

from typing import Annotated, Any, ClassVar

import typer

from hat import __version__
from hat.cli import (
    bench_engines,
    cost,
    device,
    doctor,
    export,
    init,
    interop,
    measure,
    recipes,
    runs,
    translate,
    zoo,
)
from hat.cli.groups import Group


class Commands(Group):
    """The commands of `hat`, by section."""

    sections: ClassVar = {
        "From text to a model": ("init", "recipe", "run", "status"),
        "Stages of a run, each alone": runs.ALL,
        "A finished model": ("translate", "export", "bench-engines"),
        "Devices": ("doctor", "device", "predict"),
        "Architectures": ("cost", "zoo"),
        "Files of the published code": ("import-checkpoint", "import-config"),
    }

    def get_params(self, ctx: Any) -> Any:
        """The options; typer's own get the default False in place of None. None is no bool, and typer would
        import pydantic to convert it, which takes as long as the rest of `--help`."""
        params = super().get_params(ctx)
        for one in params:
            if one.name in ("help", "install_completion", "show_completion"):
                one.default = False
        return params


app = typer.Typer(
    name="hat",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Plain text: it saves the 0.2 s of importing rich, and </s> and [train] are printed literally.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Finds, trains and runs the fastest translation Transformer that is still good enough "
    "on your device.",
    epilog="Start with `hat run demo`, or with your own text: `hat init`",
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
    init,
    runs,
    measure,
    recipes,
    translate,
    export,
    init,
    bench_engines,
    interop,
    cost,
    device,
    doctor,
    zoo,
):
    commands.add_to(app)
