"""The command tree.

A command imports the rooms that it needs when it runs: so `hat --help` is quick, and the commands of the
plain install work without the [train] extra.
"""

from typing import Annotated, Any, ClassVar

import typer

from hat.cli.commands import (
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
from hat.pipeline import STAGES
from hat.version import __version__


class Commands(Group):
    """The commands of `hat`, by section."""

    sections: ClassVar = {
        "From text to a model": ("init", "recipe", "run", "status"),
        "Stages of a run, each alone": tuple(STAGES),
        "A finished model": ("translate", "export", "bench-engines"),
        "Devices": ("doctor", "device", "predict"),
        "Architectures": ("cost", "zoo"),
        "Files of the published code": ("import-checkpoint", "import-config"),
    }

    def get_params(self, ctx: Any) -> Any:
        """The options; the default of typer's own is False instead of None. To convert None to bool, typer
        would import pydantic, which takes as long as the rest of `--help`."""
        params = super().get_params(ctx)
        for param in params:
            if param.name in ("help", "install_completion", "show_completion"):
                param.default = False
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
    """Options of every command. `main` handles `--debug`, which may also stand after the command."""


runs.add_to(app)
for name, command, examples in (
    ("init", init.init, init.EXAMPLES),
    ("recipe", recipes.recipe, recipes.EXAMPLES),
    ("measure", measure.measure, measure.MEASURE_EXAMPLES),
    ("fit", measure.fit, measure.FIT_EXAMPLES),
    ("predict", measure.predict, measure.PREDICT_EXAMPLES),
    ("translate", translate.translate, translate.EXAMPLES),
    ("export", export.export, export.EXAMPLES),
    ("bench-engines", bench_engines.bench_engines, bench_engines.EXAMPLES),
    ("doctor", doctor.doctor, doctor.EXAMPLES),
    ("cost", cost.cost, cost.EXAMPLES),
    ("import-checkpoint", interop.import_checkpoint, interop.CHECKPOINT_EXAMPLES),
    ("import-config", interop.import_config, interop.CONFIG_EXAMPLES),
):
    app.command(name, epilog=examples)(command)
app.add_typer(device.commands, name="device")
app.add_typer(zoo.commands, name="zoo")
