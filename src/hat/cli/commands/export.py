"""`hat export`: a finished model in the format and precision for a device."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hat.cli.choices import EMBEDDING_FORMS, FORMATS, INITIALIZATIONS, PRECISIONS, artefacts
from hat.cli.extra import optional_packages
from hat.cli.options import ModelFolder, ModelName, choice_option, examples
from hat.cli.progress import Terminal
from hat.errors import UserError, visible_lines

if TYPE_CHECKING:
    from hat.compression import Sizes
    from hat.runtime import Artefact, CodeBooks


EXAMPLES = examples(
    "hat export runs/demo --precision int8 --out model",
    "hat export runs/demo --model hat-60pct --precision bfloat16 --out model",
    "hat export runs/demo --precision kmeans4 --fine-tune 200 --out model",
    "hat export model --format onnx --out model-onnx",
)


def export(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|ARTEFACT", help="A run folder, or one artefact.", autocompletion=artefacts
        ),
    ],
    out: ModelFolder,
    precision: Annotated[
        str | None,
        choice_option(
            f"{', '.join(PRECISIONS)} (kmeansN: code books, with codes of N bits); by default that of "
            "the stored model.",
            PRECISIONS,
        ),
    ] = None,
    model: ModelName = None,
    form: Annotated[str, choice_option(f"{' or '.join(FORMATS)}.", FORMATS, "--format")] = "artefact",
    rows: Annotated[
        int | None,
        typer.Option(
            "--code-book-rows",
            help="kmeans: matrix rows that share a code book, a multiple of 32; 0: all rows; by default 32 "
            "up to 4 bits, else 0.",
        ),
    ] = None,
    embeddings: Annotated[
        str,
        choice_option(f"kmeans: storage of the embeddings: {', '.join(EMBEDDING_FORMS)}.", EMBEDDING_FORMS),
    ] = "kmeans",
    initialization: Annotated[
        str, choice_option(f"kmeans: initial centroids: {', '.join(INITIALIZATIONS)}.", INITIALIZATIONS)
    ] = "linear",
    updates: Annotated[
        int, typer.Option("--fine-tune", min=0, help="kmeans: updates that train the code books of a RUN.")
    ] = 0,
) -> None:
    """Write a model for a device: weights, tokenizer and configuration in one folder.

    Prints two sizes: that of the files, and the size as the paper counts it.
    """
    from hat.export.deploy import deploy
    from hat.runtime import CodeBooks, usual_books

    artefact = _trained(source, model, out)
    precision = artefact.config.precision if precision is None else precision
    usual = usual_books(precision)
    books = CodeBooks(usual.rows if rows is None else rows, embeddings, initialization)
    unusual = None if rows is None and books == usual else books
    _check_kmeans(precision, unusual, updates, source)
    artefact = artefact.at_precision(precision, unusual)
    if updates:
        artefact = _fine_tuned(source, artefact, updates)
    with optional_packages("export --format onnx", "onnx"):
        deployed = deploy(artefact, out, form)
    typer.echo(visible_lines(_summary(out, artefact.config.precision, deployed)))


def _trained(source: Path, model: str | None, out: Path) -> "Artefact":
    """The model as it was trained. Raises UserError where it cannot be exported to `out`: now, not after
    minutes of fine-tuning."""
    from hat.pipeline import check_no_result
    from hat.runtime import MODEL, Artefact, is_onnx_export, model_folder

    folder = model_folder(source, model, "trained")
    if is_onnx_export(folder):
        raise UserError(f"{folder}: an ONNX export; only an artefact or a run can be exported")
    if os.path.realpath(out) in map(os.path.realpath, (folder, source)):
        raise UserError(f"--out {out}: the model itself would be lost; choose another place")
    check_no_result(out)
    MODEL.check_replaceable(out)
    # The decoding options of a deployed model may have been tuned after training.
    decode = Artefact.load(model_folder(source, model)).config.decode
    return Artefact.load(folder).with_decode(decode)


def _check_kmeans(precision: str, books: "CodeBooks | None", updates: int, source: Path) -> None:
    """Raises UserError for options without effect."""
    from hat.runtime import is_artefact
    from hat.runtime.weights import is_kmeans

    if not is_kmeans(precision) and (books or updates):
        raise UserError(
            "--code-book-rows, --embeddings, --initialization and --fine-tune are for --precision "
            f"kmeans1 to kmeans8, not {precision}"
        )
    if updates and is_artefact(source):
        raise UserError(f"--fine-tune {updates}: {source} is a single model; a run has the text to train on")


def _fine_tuned(run: Path, artefact: "Artefact", updates: int) -> "Artefact":
    with optional_packages("export --fine-tune"):
        from hat.pipeline import fine_tune
    with Terminal().working("fine-tune") as progress:
        return fine_tune(run, artefact, updates, progress)


def _summary(out: Path, precision: str, deployed: "Sizes") -> str:
    width = max(map(len, deployed.files))
    share = deployed.total / deployed.float32_bytes
    return "\n".join(
        [
            f"{out}: {precision}, {deployed.total:,} bytes in {len(deployed.files)} files, "
            f"{share:.0%} of the {deployed.float32_bytes:,} with float32 weights",
            *(f"  {name:{width}}  {size:>13,} bytes" for name, size in deployed.files.items()),
            f"  as the paper counts (no embeddings, no code books): {deployed.published:,} bytes, "
            f"{deployed.published / deployed.published_float32:.3g} of {deployed.published_float32:,}",
        ]
    )
