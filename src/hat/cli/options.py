"""Arguments, options and kinds of output that several commands share."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from hat.cli.choices import ACCELERATORS, devices, listed, models, targets
from hat.engine_specs import engines_on

TARGET = typer.Argument(
    metavar="RECIPE|DIR", help="A recipe file or name, or a run folder.", autocompletion=targets
)
Target = Annotated[str, TARGET]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a recipe key; may be repeated."),
]
RunDir = Annotated[
    Path | None,
    typer.Option("--run-dir", help="The run folder; by default runs/NAME, after the recipe's file."),
]
Beam = Annotated[int | None, typer.Option(min=1, help="Beam width.")]
ModelName = Annotated[
    str | None,
    typer.Option("--model", help="One of the run's models instead of the default.", autocompletion=models),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def file_option(help: str, *names: str, metavar: str = "FILE") -> Any:
    """An option whose value is a path."""
    return typer.Option(*names, metavar=metavar, help=help)


def choice_option(help: str, choices: Iterable[str], *names: str) -> Any:
    """An option whose value is completed from a list of choices."""
    return typer.Option(*names, help=help, autocompletion=listed(choices))


DevicesFile = Annotated[
    Path | None,
    file_option(
        "YAML file that declares devices; by default ./devices.yaml or ~/.config/hat/devices.yaml.",
        "--devices",
    ),
]
ModelFolder = Annotated[
    Path,
    file_option("Folder to write; only an earlier model is replaced.", metavar="DIR"),
]
Accelerator = Annotated[
    str,
    choice_option(
        f"{' or '.join(ACCELERATORS)}; cuda is for the {' or '.join(engines_on('cuda'))} engine.",
        ACCELERATORS,
        "--accelerator",
        "--device",
    ),
]


def device_option(help: str) -> Any:
    """The option `--device`, whose value is the name of a known device."""
    return typer.Option("--device", metavar="NAME", help=help, autocompletion=devices)


def examples(*commands: str) -> str:
    """The examples at the end of a command's help."""
    return "\n\n".join(("\nExamples:", *(f"    {command}" for command in commands)))


def json_text(record: object) -> str:
    """A result as the JSON that `--json` prints."""
    return json.dumps(record, indent=1)


def positive_number(text: str) -> int | None:
    """The whole number from 1 on, of at most nine digits, that `text` is; None for other text."""
    return int(text) if re.fullmatch(r"\s*0*[1-9][0-9]{0,8}\s*", text) else None
