"""`hat translate`: text in, translations out."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from hat.cli.choices import ENGINES, artefacts, instruction_sets
from hat.cli.options import Accelerator, Beam, ModelName, choice_option, examples
from hat.cli.streams import input_lines, print_line, typed_lines

if TYPE_CHECKING:
    from hat.runtime import Translation


NOTES = SPLIT, CUT, COPIED, UNKNOWN = (
    "lines translated sentence by sentence",
    "lines with a sentence that was cut, being longer than those of the training text",
    "lines with words unknown to the model, which were copied",
    "lines without anything known to the model, left unchanged",
)

EXAMPLES = examples(
    "hat translate runs/demo < in.txt > out.txt",
    "hat translate runs/demo --interactive",
    "hat translate runs/demo --model hat-60pct --nbest 3 --beam 8 < in.txt",
    "hat translate model --engine native --threads 1 --long-input refuse < in.txt",
    "hat translate model --no-split < one-unit-a-line.txt",
)


def translate(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="A run folder, or one artefact.", autocompletion=artefacts),
    ],
    model: ModelName = None,
    interactive: Annotated[
        bool, typer.Option("--interactive", "-i", help="Translate each line as it is typed.")
    ] = False,
    beam: Beam = None,
    nbest: Annotated[
        int | None,
        typer.Option(min=1, help="Print this many translations of each line, as `line ||| text ||| score`."),
    ] = None,
    lenpen: Annotated[
        float | None, typer.Option(min=0, help="Scores are divided by length to this power.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Sentences decoded together.")] = 16,
    max_length: Annotated[
        int | None, typer.Option(min=1, help="The most tokens of a translation, </s> included.")
    ] = None,
    split: Annotated[
        bool,
        typer.Option(
            " /--no-split",
            help="Translate each line as a whole. By default its sentences are translated, each alone or as "
            "many together as the lines of the training text have.",
            show_default=False,
        ),
    ] = True,
    long_input: Annotated[
        str, typer.Option(help="Lines longer than those of the training text: split them, or refuse.")
    ] = "split",
    engine: Annotated[
        str,
        choice_option(f"{', '.join(ENGINES)}; auto: the first that is installed.", (*ENGINES, "auto")),
    ] = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processor threads; by default as many as this process may use.")
    ] = None,
    accelerator: Accelerator = "cpu",
    instruction_set: Annotated[
        str,
        typer.Option(
            help="Kernels of the native engine; auto: the best this processor has.",
            autocompletion=instruction_sets,
        ),
    ] = "auto",
) -> None:
    """Translate standard input, line by line, to standard output.

    Standard error gets the number of lines that were split, and of lines with words unknown to the model.
    """
    from hat.runtime import Translator

    with Translator.load(
        folder,
        model,
        engine=engine,
        threads=threads,
        device=accelerator,
        instruction_set=instruction_set,
        long_input=long_input,
    ) as translator:
        options = Options(beam=beam, nbest=nbest, length_penalty=lenpen, max_length=max_length, split=split)
        translations: Iterator[Translation]
        if interactive:
            # One at a time: a stream would read ahead, and prompt for the next line before it answers.
            translations = (translator.translate([line], **options)[0] for line in typed_lines())
        else:
            translations = translator.translate_stream(input_lines(), batch=batch, **options)
        notes = Notes()
        _print(notes.on(translations), nbest)
        if notes.counts:
            typer.echo(f"hat: {notes}", err=True)


class Options(TypedDict):
    """The options of a translation; None: the model's default."""

    beam: int | None
    nbest: int | None
    length_penalty: float | None
    max_length: int | None
    split: bool


class Notes:
    """Counts of the lines that needed more than plain translation, by kind."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def on(self, translations: "Iterable[Translation]") -> "Iterator[Translation]":
        """The same translations; each is counted as it passes."""
        for translation in translations:
            self.counts.update(_kinds(translation))
            yield translation

    def __str__(self) -> str:
        return "; ".join(f"{kind}: {self.counts[kind]}" for kind in NOTES if self.counts[kind])


def _kinds(translation: "Translation") -> Iterator[str]:
    if translation.cut:
        yield CUT
    elif translation.parts > 1:
        yield SPLIT
    if translation.copied:
        yield COPIED if translation.parts else UNKNOWN


def _print(translations: "Iterable[Translation]", nbest: int | None) -> None:
    for number, translation in enumerate(translations):
        for line in _rendered(number, translation, nbest):
            print_line(line)


def _rendered(number: int, translation: "Translation", nbest: int | None) -> list[str]:
    if nbest is None:
        return [translation.text]
    ranked = [(translation.text, translation.score), *translation.alternatives]
    return [f"{number} ||| {text} ||| {score:.4f}" for text, score in ranked]
