"""`hat zoo`: the published models, the baselines, and their results as published and as measured here."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hat.cli.choices import zoo_values
from hat.cli.groups import Group
from hat.cli.options import AsJson, examples, json_text

if TYPE_CHECKING:
    from rich.table import Table

    from hat.zoo.models import Result, SourcedFigure, ZooModel


LIST_EXAMPLES = examples("hat zoo list", "hat zoo list --task wmt14.en-de --device raspberry-pi-4 --json")
SHOW_EXAMPLES = examples(
    "hat zoo show transformer-big", "hat zoo show HAT_wmt14ende_raspberrypi@6.9s_bleu@28.4 --json"
)
EXPORT_EXAMPLES = examples(
    "hat zoo export HAT_wmt14ende_raspberrypi@6.9s_bleu@28.4 --out arch.yaml",
    "hat cost arch.yaml --vocab 32768",
)

commands = typer.Typer(cls=Group, no_args_is_help=True, help="Known models: architectures, costs, results.")
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="One of `hat zoo list`.", autocompletion=zoo_values("name"))
]
UNITS = {
    "parameters": ("parameters", lambda value: f"{value / 1e6:.2f}M"),
    "flops": ("FLOPs", lambda value: f"{value / 1e9:.2f}G"),
    "latency_ms": ("latency ms", lambda value: f"{value:,.2f}" if value < 10 else f"{value:,.1f}"),
    "bleu": ("BLEU", lambda value: f"{value:.1f}"),
    "sacrebleu": ("sacreBLEU", lambda value: f"{value:.1f}"),
    "artefact_bytes": ("artefact", lambda value: f"{value / 1e6:.1f}MB"),
}


@commands.command("list", epilog=LIST_EXAMPLES)
def list_models(
    task: Annotated[
        str | None,
        typer.Option(help="Only this task, for example wmt14.en-de.", autocompletion=zoo_values("task")),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="Only this device, for example titan-xp.", autocompletion=zoo_values("device")),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the models. The letter after each figure names its source."""
    from rich.console import Console

    from hat.zoo.models import models

    console = Console()
    listed = models(task, device)
    if as_json:
        typer.echo(json_text([_record(model) for model in listed]))
        return
    rows = [(model.name, result) for model in listed for result in model.results]
    Console(width=None if console.is_terminal else 200).print(_table(rows))
    typer.echo(_legend(figure for _, result in rows for figure in result.figures.values()))


@commands.command("show", epilog=SHOW_EXAMPLES)
def show(name: Name, as_json: AsJson = False) -> None:
    """Show one model: its layers, its cost by the published rules, and its results."""
    from hat.architecture import cost, family_of
    from hat.zoo.models import SOURCES, model

    known = model(name)
    length = known.results[0].length
    counted = cost(known.architecture, length)
    if as_json:
        record = _record(known) | {"cost": asdict(counted) | {"length": length}}
        typer.echo(json_text(record | {"architecture": known.architecture.to_dict()}))
        return
    typer.echo(f"{known.name}: {known.about}")
    typer.echo(family_of(known.architecture).describe(known.architecture))
    typer.echo(
        f"counted by the published rules: {counted.parameters:,} parameters, "
        f"{counted.flops:,} FLOPs at {length} tokens"
    )
    for result in known.results:
        typer.echo(f"{result.task or 'any task'}, {result.device or 'no device'}:")
        for key, figure in result.figures.items():
            typer.echo(f"  {key}: {figure.value:,} ({SOURCES[figure.source]})")


@commands.command("export", epilog=EXPORT_EXAMPLES)
def export(
    name: Name,
    out: Annotated[Path, typer.Option(metavar="FILE.yaml", help="The architecture file to write.")],
) -> None:
    """Write a model's architecture as a file that `hat cost` and the other commands read."""
    import yaml

    from hat.files import write_sealed_yaml
    from hat.zoo.models import model

    known = model(name)
    text = yaml.safe_dump(known.architecture.to_dict(), sort_keys=False, default_flow_style=None)
    write_sealed_yaml(out, f"# {known.name}, by `hat zoo export`\n{text}")


def _record(model: "ZooModel") -> dict[str, Any]:
    from hat.zoo.models import SOURCES

    results = [
        {
            **{"task": result.task, "device": result.device, "length": result.length},
            "figures": {
                key: {"value": figure.value, "source": SOURCES[figure.source]}
                for key, figure in result.figures.items()
            },
        }
        for result in model.results
    ]
    return {"name": model.name, "kind": model.kind, "about": model.about, "results": results}


def _table(rows: "list[tuple[str, Result]]") -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("model", "task", "device"):
        table.add_column(column, overflow="fold")
    for column, _ in UNITS.values():
        table.add_column(column, justify="right", no_wrap=True)
    for name, result in rows:
        cells = [_cell(result.figures.get(key), write) for key, (_, write) in UNITS.items()]
        table.add_row(name, result.task or "", result.device or "", *cells)
    return table


def _cell(figure: "SourcedFigure | None", write: Any) -> str:
    return "" if figure is None else f"{write(figure.value)} {_mark(figure.source)}"


def _mark(source: str) -> str:
    """The mark printed after a figure that names its source."""
    return source[0]


def _legend(figures: "Iterable[SourcedFigure]") -> str:
    from hat.zoo.models import SOURCES

    used = {figure.source for figure in figures}
    return "; ".join(f"{_mark(source)}: {meaning}" for source, meaning in SOURCES.items() if source in used)
