"""`hat init`: a recipe for the user's own text."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from hat.cli.extra import optional_packages
from hat.cli.options import device_option, examples, file_option
from hat.cli.progress import Terminal
from hat.errors import UserError, visible
from hat.errors import command as command_line
from hat.files import check_new

if TYPE_CHECKING:
    from hat.data import ParallelText


EXAMPLES = examples(
    "hat init",
    "hat init my.yaml --source train.en --target train.de --minutes 60 --latency 50%",
    "hat init my.yaml --tsv train.tsv --source-lang en --target-lang de --device pi",
    "hat run my.yaml --set 'search.constraints=[latency=50% and memory=64MB]'",
)
RECIPE = Path("my.yaml")
THIS = "this"  # the name of this machine in the question for a device
MINUTES, LATENCY = 30.0, "60%"
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
Value = TypeVar("Value", str, float)

SourceText = Annotated[Path | None, file_option("Text in the source language, one sentence a line.")]
TargetText = Annotated[Path | None, file_option("The translation, line by line.")]
BothTexts = Annotated[Path | None, file_option("Instead of both: source, tab, target on each line.")]
ValidText = Annotated[Path | None, file_option("Validation text, source side; by default part of the text.")]
TestText = Annotated[Path | None, file_option("Test text, source side; by default part of the text.")]
OtherSide = Annotated[Path | None, file_option("Its target side.")]
SourceLanguage = Annotated[
    str | None, typer.Option(metavar="CODE", help="Source language; by default the file name's ending.")
]
TargetLanguage = Annotated[
    str | None, typer.Option(metavar="CODE", help="Target language; by default the file name's ending.")
]
Minutes = Annotated[
    float | None, typer.Option(metavar="N", help=f"Minutes for the whole run.  [default: {MINUTES:g}]")
]
Latency = Annotated[
    str | None,
    typer.Option(
        metavar="N%|Nms",
        help=f"Latency constraint: % of the largest network's, or ms.  [default: {LATENCY}]",
    ),
]
DeviceName = Annotated[
    str | None,
    device_option("Where the model will run, one of `hat device list`.  [default: this machine]"),
]


def init(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.yaml", help="The file to write.")] = RECIPE,
    source: SourceText = None,
    target: TargetText = None,
    tsv: BothTexts = None,
    valid_source: ValidText = None,
    valid_target: OtherSide = None,
    test_source: TestText = None,
    test_target: OtherSide = None,
    source_lang: SourceLanguage = None,
    target_lang: TargetLanguage = None,
    minutes: Minutes = None,
    latency: Latency = None,
    device: DeviceName = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing recipe.")] = False,
) -> None:
    """Write a recipe for your own text; on a terminal, ask for everything that the options leave open.

    Vocabulary, design space and number of updates follow from text and time; comments in the recipe give the
    reasons. Its `search.constraints` take limits on other costs too, joined by `and`.
    """
    if recipe.exists() and not force:
        raise UserError(f"{recipe}: exists already; name another file, or --force")
    with optional_packages("init"):
        from hat.recipe import Wishes, is_recipe, write_first_recipe
    check_new(recipe, is_recipe, "a recipe")
    questions = Questions()
    train = questions.text(source, target, tsv)
    source_code = questions.language("source", source_lang, train.source if train.target else None)
    target_code = questions.language("target", target_lang, train.target)
    questions.check_answered()
    wishes = Wishes(
        train=train,
        valid=_pair("--valid", valid_source, valid_target),
        test=_pair("--test", test_source, test_target),
        source_language=source_code,
        target_language=target_code,
        minutes=questions.choice("Minutes at hand for the whole run", minutes, MINUTES),
        latency=questions.choice("Latency, of the largest network's (60%) or in ms (12ms)", latency, LATENCY),
        device=questions.device(device),
    )
    with Terminal().working("init") as progress:
        budget = write_first_recipe(recipe, wishes, progress)
    if budget.too_short:
        typer.echo(f"{wishes.minutes:g} minutes are short for this text; comments in the recipe give details")
    typer.echo(visible(f"{recipe} is written; start it with"))
    typer.echo(visible(f"    {command_line('hat', 'run', recipe)}"))


class Questions:
    """Questions on a terminal for values that no option gives; elsewhere, a list of the missing options."""

    def __init__(self) -> None:
        self._terminal = sys.stdin is not None and sys.stdin.isatty()
        self._missing: list[str] = []

    def text(self, source: Path | None, target: Path | None, tsv: Path | None) -> "ParallelText":
        """The training text. Raises UserError if it is given in both forms."""
        from hat.data import ParallelText

        if tsv is not None:
            if source or target:
                raise UserError("--tsv holds both languages; leave --source and --target out")
            return ParallelText(tsv)
        source_file = self._required("--source", "File with the source language, one sentence a line", source)
        target_file = self._required("--target", "File with its translation, line by line", target)
        return ParallelText(Path(source_file), Path(target_file))

    def language(self, side: str, given: str | None, file: Path | None) -> str:
        """The code of a language, by default the ending of its file's name."""
        if file and file.suffix.lower() in COMPRESSED:
            file = file.with_suffix("")
        code = file.suffix[1:] if file else ""
        guess = code if code.isalpha() and len(code) in (2, 3) else None
        return self._required(f"--{side}-lang", f"Code of the {side} language", given, guess)

    def choice(self, question: str, given: Value | None, default: Value) -> Value:
        """The answer to a question that has a default."""
        if given is not None:
            return given
        return type(default)(typer.prompt(question, default=default)) if self._terminal else default

    def device(self, given: str | None) -> str:
        """The name of the device."""
        name = self.choice("Device that the model will run on", given, THIS)
        return "local" if name == THIS else name

    def check_answered(self) -> None:
        """Raises UserError if options are missing and there is no terminal to ask on."""
        if self._missing:
            or_tsv = " (or --tsv)" if {"--source", "--target"} & set(self._missing) else ""
            raise UserError(f"hat init: no terminal to ask on; give {', '.join(self._missing)}{or_tsv}")

    def _required(
        self, option: str, question: str, given: Path | str | None, guess: str | None = None
    ) -> str:
        if given is not None:
            return str(given)
        if self._terminal:
            return str(typer.prompt(question, default=guess))
        if guess is None:
            self._missing.append(option)
        return guess or ""


def _pair(option: str, source: Path | None, target: Path | None) -> "ParallelText | None":
    from hat.data import ParallelText

    if (source is None) != (target is None):
        raise UserError(f"{option}-source and {option}-target: give both, or neither")
    return None if source is None else ParallelText(source, target)
