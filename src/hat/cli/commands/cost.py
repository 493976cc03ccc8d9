"""`hat cost`: parameters, FLOPs and bytes of an architecture file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hat.arguments import check_choice
from hat.cli.choices import COUNTED_PRECISIONS
from hat.cli.options import AsJson, choice_option, examples, json_text

if TYPE_CHECKING:
    from hat.architecture import AnyArchitecture


EXAMPLES = examples("hat cost arch.yaml", "hat cost arch.json --vocab 32000 --precision int8 --json")


def cost(
    file: Annotated[Path, typer.Argument(metavar="ARCH.yaml", help="Architecture file, YAML or JSON.")],
    vocab: Annotated[
        int | None, typer.Option("--vocab", min=1, help="Vocabulary size, for the figures with embeddings.")
    ] = None,
    tied: Annotated[
        bool,
        typer.Option("--tied/--untied", help="One embedding matrix for both sides and the output, or three."),
    ] = True,
    precision: Annotated[
        str,
        choice_option(f"Precision of the weights: {', '.join(COUNTED_PRECISIONS)}.", COUNTED_PRECISIONS),
    ] = "float32",
    length: Annotated[int, typer.Option(min=1, help="Tokens per sentence, for the FLOPs.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Print the parameters, FLOPs (by the published rules) and bytes of an architecture."""
    from hat.architecture import load_architecture

    check_choice("--precision", precision, COUNTED_PRECISIONS)
    figures = _figures(load_architecture(file), vocab, tied, precision, length)
    typer.echo(json_text(figures) if as_json else _table(figures))


def _figures(
    architecture: "AnyArchitecture", vocab: int | None, tied: bool, precision: str, length: int
) -> dict[str, Any]:
    from hat.architecture import ModelConfig, artefact_bytes, weight_counts
    from hat.architecture import cost as architecture_cost

    config = ModelConfig(architecture, vocab or 1, vocab or 1, embeddings="shared" if tied else "separate")
    counted = architecture_cost(architecture, length)
    without_embeddings, with_embeddings = artefact_bytes(config, precision)
    return {
        "parameters": counted.parameters,
        "flops": counted.flops,
        "length": length,
        "precision": precision,
        "embeddings": config.embeddings,
        "vocab": vocab,
        "parameters_with_embeddings": weight_counts(config)[1] if vocab else None,
        "bytes_without_embeddings": without_embeddings,
        "bytes_with_embeddings": with_embeddings if vocab else None,
    }


def _table(figures: dict[str, Any]) -> str:
    if figures["vocab"]:
        kind = f"{figures['vocab']:,} pieces, {figures['embeddings']}"
        parameters = f"{figures['parameters_with_embeddings']:,} ({kind})"
        size = f"{figures['bytes_with_embeddings']:,}"
    else:
        parameters = size = "needs --vocab"
    return (
        f"parameters, without embeddings  {figures['parameters']:,}\n"
        f"parameters, with embeddings     {parameters}\n"
        f"FLOPs, {figures['length']} tokens a sentence    {figures['flops']:,}\n"
        f"bytes, without embeddings       {figures['bytes_without_embeddings']:,} ({figures['precision']})\n"
        f"bytes, with embeddings          {size}"
    )
