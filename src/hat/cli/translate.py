"""`hat translate`: text in, translations out."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from hat.errors import UserError
from hat.runtime import Translation, Translator

EXAMPLES = """
Examples:

    hat translate runs/demo < in.txt > out.txt

    hat translate runs/demo --interactive

    hat translate runs/demo --model hat-60pct --nbest 3 --beam 8 < in.txt
"""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("translate", epilog=EXAMPLES)(translate)


def translate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder, or one artefact.")],
    model: Annotated[str | None, typer.Option(help="One of the run's models instead of the default.")] = None,
    interactive: Annotated[
        bool, typer.Option("--interactive", "-i", help="Translate each line as it is typed.")
    ] = False,
    beam: Annotated[int | None, typer.Option(min=1, help="Beam width.")] = None,
    nbest: Annotated[
        int | None, typer.Option(min=1, help="Print this many, as `line ||| text ||| score`.")
    ] = None,
    lenpen: Annotated[
        float | None, typer.Option(min=0, help="Scores are divided by length to this power.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Sentences decoded at once.")] = 16,
    engine: Annotated[str, typer.Option(help="Engine to decode with.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Processor threads.")] = None,
) -> None:
    """Translate standard input, line by line, to standard output."""
    with Translator.load(folder, model, engine, threads) as translator:
        translations = translator.translate_stream(
            _typed_lines() if interactive else _input_lines(),
            beam=beam,
            nbest=nbest,
            length_penalty=lenpen,
            batch=1 if interactive else batch,
        )
        try:
            for number, translation in enumerate(translations):
                for line in _rendered(number, translation, nbest):
                    print(line, flush=True)
        except BrokenPipeError:
            # The reader has gone: not an error, but Python would complain while closing stdout.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _rendered(number: int, translation: Translation, nbest: int | None) -> list[str]:
    if nbest is None:
        return [translation.text]
    ranked = [(translation.text, translation.score), *translation.alternatives]
    return [f"{number} ||| {text} ||| {score:.4f}" for text, score in ranked]


def _input_lines() -> Iterator[str]:
    """Standard input as lines that end at newlines only. Raises UserError for other than UTF-8."""
    for number, line in enumerate(sys.stdin.buffer, start=1):
        try:
            yield line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise UserError(
                f"standard input:{number}: not UTF-8 text (byte {error.start + 1} of the line)"
            ) from error


def _typed_lines() -> Iterator[str]:
    while True:
        try:
            yield input("> " if sys.stdin.isatty() else "")
        except EOFError:
            return
