"""`hat export`: a finished model in the form and precision that the device runs."""

from pathlib import Path
from typing import Annotated

import typer

from hat.cli.extra import optional_extra
from hat.errors import UserError
from hat.export.deploy import FORMATS, Deployed, deploy
from hat.runtime import PRECISIONS, Artefact
from hat.runtime.locate import is_onnx_export, model_folder

EXAMPLES = """
Examples:

    hat export runs/demo --precision int8 --out model

    hat export runs/demo --model hat-60pct --precision bfloat16 --out model

    hat export model --format onnx --out model-onnx
"""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export", epilog=EXAMPLES)(export)


def export(
    source: Annotated[Path, typer.Argument(metavar="RUN|ARTEFACT", help="A run folder, or one artefact.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write; a model there is replaced.")],
    precision: Annotated[
        str | None,
        typer.Option(help=f"{', '.join(PRECISIONS)}; by default as the model is stored."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="One of the run's models instead of the default.")] = None,
    form: Annotated[str, typer.Option("--format", help=f"{' or '.join(FORMATS)}.")] = "artefact",
) -> None:
    """Write a model for a device: weights, tokenizer and configuration in one folder."""
    folder = model_folder(source, model, "trained")
    if is_onnx_export(folder):
        raise UserError(f"{folder}: an ONNX export; only an artefact or a run can be exported")
    if out.resolve() in (folder.resolve(), source.resolve()):
        raise UserError(f"--out {out}: the model itself would be lost; choose another place")
    artefact = Artefact.load(folder)
    artefact = artefact.at_precision(artefact.config.precision if precision is None else precision)
    with optional_extra("export --format onnx", "onnx"):
        deployed = deploy(artefact, out, form)
    typer.echo(_summary(out, artefact.config.precision, deployed))


def _summary(out: Path, precision: str, deployed: Deployed) -> str:
    width = max(len(name) for name in deployed.files)
    lines = [f"  {name:{width}}  {size:>13,} bytes" for name, size in deployed.files.items()]
    share = deployed.total / deployed.float32_bytes
    return "\n".join(
        [
            f"{out}: {precision}, {deployed.total:,} bytes in {len(deployed.files)} files, "
            f"{share:.0%} of the {deployed.float32_bytes:,} with float32 weights",
            *lines,
        ]
    )
