"""`hat translate`: text in, translations out."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from hat.cli.choices import ENGINES, artefacts, instruction_sets
from hat.cli.options import Accelerator, Beam, ModelName, choice_option, examples
from hat.cli.streams import input_lines, print_line, typed_lines

if TYPE_CHECKING:
    from hat.runtime import Translation


# Kinds of lines that needed more than plain translation; each is counted.
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

EngineName = Annotated[
    str, choice_option(f"{', '.join(ENGINES)}; auto: the first that is installed.", (*ENGINES, "auto"))
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Processor threads; by default as many as this process may use.")
]
InstructionSet = Annotated[
    str,
    typer.Option(
        help="Kernels of the native engine; auto: the best this processor has.",
        autocompletion=instruction_sets,
    ),
]
NBest = Annotated[
    int | None,
    typer.Option(min=1, help="Print this many translations of each line, as `line ||| text ||| score`."),
]
Split = Annotated[
    bool,
    typer.Option(
        " /--no-split",
        help="Translate each line as a whole. By default its sentences are translated, each alone or as "
        "many together as the lines of the training text have.",
        show_default=False,
    ),
]


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
    nbest: NBest = None,
    lenpen: Annotated[
        float | None, typer.Option(min=0, help="Scores are divided by length to this power.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Sentences decoded together.")] = 16,
    max_length: Annotated[
        int | None, typer.Option(min=1, help="The most tokens of a translation, </s> included.")
    ] = None,
    split: Split = True,
    long_input: Annotated[
        str, typer.Option(help="Lines longer than those of the training text: split them, or refuse.")
    ] = "split",
    engine: EngineName = "auto",
    threads: Threads = None,
    accelerator: Accelerator = "cpu",
    instruction_set: InstructionSet = "auto",
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
        counts: Counter[str] = Counter()
        for number, translation in enumerate(translations):
            counts.update(_notes(translation))
            for line in _rendered(number, translation, nbest):
                print_line(line)
        if counts:
            notes = "; ".join(f"{note}: {counts[note]}" for note in NOTES if counts[note])
            typer.echo(f"hat: {notes}", err=True)


class Options(TypedDict):
    """The options of a translation; None: the model's default."""

    beam: int | None
    nbest: int | None
    length_penalty: float | None
    max_length: int | None
    split: bool


def _notes(translation: "Translation") -> Iterator[str]:
    """The NOTES that are true of a translation's line."""
    if translation.cut:
        yield CUT
    elif translation.parts > 1:
        yield SPLIT
    if translation.copied:
        yield COPIED if translation.parts else UNKNOWN


def _rendered(number: int, translation: "Translation", nbest: int | None) -> list[str]:
    if nbest is None:
        return [translation.text]
    ranked = [(translation.text, translation.score), *translation.alternatives]
    return [f"{number} ||| {text} ||| {score:.4f}" for text, score in ranked]
