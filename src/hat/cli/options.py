"""Arguments and options that several commands have, and numbers in the text of options."""

import re
from pathlib import Path
from typing import Annotated

import typer

from hat.cli.choices import ACCELERATORS, listed, models, targets
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
DevicesFile = Annotated[
    Path | None,
    typer.Option(
        "--devices",
        metavar="FILE",
        help="YAML file that declares devices; by default ./devices.yaml or ~/.config/hat/devices.yaml.",
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option("--model", help="One of the run's models instead of the default.", autocompletion=models),
]
Accelerator = Annotated[
    str,
    typer.Option(
        "--accelerator",
        "--device",
        help=f"{' or '.join(ACCELERATORS)}; cuda is for the {' or '.join(engines_on('cuda'))} engine.",
        autocompletion=listed(ACCELERATORS),
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def positive_number(text: str) -> int | None:
    """The whole number from 1 on, of at most nine digits, that `text` is; None for other text."""
    return int(text) if re.fullmatch(r"\s*0*[1-9][0-9]{0,8}\s*", text) else None
