"""`hat bench-engines`: the speed of each engine with one model on this machine."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hat.arguments import check_choice
from hat.cli.choices import ACCELERATORS, ENGINES, PRECISIONS, artefacts
from hat.cli.options import Accelerator, AsJson, choice_option, examples, json_text, positive_number
from hat.cli.progress import Terminal
from hat.errors import UserError, named, shown

if TYPE_CHECKING:
    from rich.table import Table

    from hat.hardware import EngineTime
    from hat.runtime import Artefact


# The precision of random weights: the usual one on devices.
DEFAULT_PRECISION = "int8"

EXAMPLES = examples(
    "hat bench-engines model/ --threads 1,2",
    "hat bench-engines arch.yaml --engines native,torch --precision float32 --json",
)

Engines = Annotated[
    str | None, choice_option(f"Any of {','.join(ENGINES)}; by default all that run here.", ENGINES)
]
Precision = Annotated[
    str | None,
    choice_option(
        f"{', '.join(PRECISIONS)}; by default as the model is stored, {DEFAULT_PRECISION} for an "
        "architecture. PyTorch expands the weights and computes in float32, on a GPU in 16 bits.",
        PRECISIONS,
    ),
]


def bench_engines(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL|ARCH.yaml",
            help="An artefact, a run, or an architecture file (timed with random weights).",
            autocompletion=artefacts,
        ),
    ],
    engines: Engines = None,
    threads: Annotated[str, typer.Option(help="Numbers of threads, for example 1,2.")] = "1",
    precision: Precision = None,
    source_length: Annotated[int, typer.Option(min=1, help="Source tokens, </s> included.")] = 30,
    steps: Annotated[
        int, typer.Option(min=1, help="Target tokens; decoding takes exactly this many steps.")
    ] = 30,
    beam: Annotated[int, typer.Option(min=1, help="Beam size.")] = 5,
    batch: Annotated[int, typer.Option(min=1, help="Sentences decoded together.")] = 1,
    vocab: Annotated[
        int, typer.Option(min=5, help="Vocabulary of an architecture's random weights, shared.")
    ] = 32768,
    runs: Annotated[int, typer.Option(min=1, help="Timed runs of each engine.")] = 10,
    accelerator: Accelerator = "cpu",
    as_json: AsJson = False,
) -> None:
    """Time whole translations by each engine in turn; every round has a new random source.

    Tokens per second count the target tokens of the best hypothesis.
    """
    from rich.console import Console

    from hat.hardware import MeasureProtocol, time_engines

    names = list(dict.fromkeys(map(str.strip, (engines or ",".join(ENGINES)).split(","))))
    for name in names:
        check_choice("--engines", name, ENGINES)
    counts = _thread_counts(threads)
    check_choice("--accelerator", accelerator, ACCELERATORS)
    if precision is not None:
        check_choice("--precision", precision, PRECISIONS)
    artefact = _model(source, precision, vocab)
    protocol = MeasureProtocol((source_length,), (steps,), beam=beam, batch=batch, warmup=2, rounds=runs)
    terminal = Terminal()
    with terminal.working("bench-engines") as progress:
        times, absent = time_engines(artefact, protocol, names, counts, device=accelerator, progress=progress)
    for name, reason in absent.items():
        terminal.say(f"{name} left out: {reason}")
    if as_json:
        typer.echo(json_text([asdict(row) for row in times]))
    else:
        Console(highlight=False).print(_table(times))


def _model(source: Path, precision: str | None, vocab: int) -> "Artefact":
    from hat.architecture import ModelConfig, load_architecture
    from hat.runtime import Artefact, is_onnx_export, model_folder

    if source.is_file():
        model = ModelConfig(load_architecture(source), vocab, vocab)
        return Artefact.random(model, 0, precision or DEFAULT_PRECISION)
    folder = model_folder(source, None)
    if is_onnx_export(folder):
        raise UserError(f"{folder}: an ONNX export; the engines are compared on an artefact or a run")
    artefact = Artefact.load(folder)
    return artefact if precision is None else artefact.at_precision(precision)


def _table(times: "list[EngineTime]") -> "Table":
    from rich.table import Column, Table

    first = times[0]
    figures = ("threads", "median ms", "p10", "p90", "tokens/s")
    table = Table(
        "engine",
        *(Column(name, justify="right") for name in figures),
        title=f"{first.precision} on {first.device}, source {first.source_length}, {first.steps} steps, "
        f"beam {first.beam}, batch {first.batch}, {first.runs} runs",
    )
    for row in times:
        times_ms = (f"{value:.1f}" for value in (row.median_ms, row.p10_ms, row.p90_ms))
        table.add_row(row.engine, str(row.threads), *times_ms, f"{row.tokens_per_second:,.0f}")
    return table


def _thread_counts(text: str) -> list[int]:
    parts = dict.fromkeys(text.split(","))
    for part in parts:
        if positive_number(part) is None:
            raise UserError(
                f"--threads {named(text)}: {shown(part)} is not a positive whole number; for example 1,2"
            )
    return list(map(int, parts))
