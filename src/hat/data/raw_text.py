"""From the files of published corpora, with their markup, to parallel text: one sentence a line."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from html import unescape
from itertools import zip_longest
from pathlib import Path
from typing import Literal

from hat.data.corpus import Pair
from hat.data.text_file import TextFile
from hat.errors import UserError
from hat.lines import as_line, line_writer
from hat.progress import Progress, silent

Markup = Literal["none", "segments", "tags"]
# Two expressions that look at each character once: a single one for both would take hours on a hostile line.
SEGMENT = re.compile(r"<seg id=[^<>]*>", re.IGNORECASE)
SEGMENT_END = re.compile(r"</seg>", re.IGNORECASE)
KEPT_TAGS = re.compile(r"</?(?:title|description)>")
PROGRESS_EVERY = 1 << 16
SETS = ("train", "valid", "test")
READ = "read"  # of the training text, before validation pairs are taken out


@dataclass(frozen=True)
class RawText:
    """Some parallel text as published: two files, or one TSV without a `target`.

    `columns`: of a TSV, those of source and target, from 1. `markup`: "segments" is SGML or XML
    with a sentence in each <seg>; "tags" is IWSLT's training text, whose lines about a talk are
    left out except its title and description.
    """

    source: Path
    target: Path | None = None
    columns: tuple[int, int] = (1, 2)
    markup: Markup = "none"


def write_sets(
    folder: Path,
    sets: Mapping[str, Sequence[RawText]],
    *,
    valid_every: int | None = None,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, int]:
    """Write `SET.source.txt` and `SET.target.txt` for the SETS; returns their numbers of pairs.

    `valid_every` n: every n-th pair of "train" (if it has two sides) goes to "valid" instead. Bytes that are
    not UTF-8 become U+FFFD, and rows without all columns are left out, since users cannot mend a published
    file; `say` reports the number of such rows. Raises UserError where sides differ in length or a set would
    be empty; then nothing is written.
    """
    counts = Counter(dict.fromkeys(SETS, 0))
    sizes = {text: text.source.stat().st_size for texts in sets.values() for text in texts}
    done = 0
    with ExitStack() as stack:
        writers = {
            name: [stack.enter_context(line_writer(folder / file)) for file in set_files(name)]
            for name in SETS
        }
        for name, texts in sets.items():
            for text in texts:
                short: Counter[Path] = Counter()
                for pair in read_raw(text, short):
                    counts[READ] += name == "train"
                    turn = name == "train" and valid_every and counts[READ] % valid_every == 0
                    to = "valid" if turn and all(pair) else name
                    for write, sentence in zip(writers[to], pair, strict=True):
                        write(sentence)
                    counts[to] += 1
                    if counts[to] % PROGRESS_EVERY == 0:
                        progress(done, sum(sizes.values()), f"{text.source.name}: {counts[to]:,} pairs")
                for path, rows in short.items():
                    columns = " and ".join(map(str, text.columns))
                    say(f"{path.name}: rows without columns {columns} are left out: {rows:,}")
                done += sizes[text]
        if empty := [name for name in SETS if not counts[name]]:
            raise UserError(f"{', '.join(empty)}: no sentence pair in the files named for it")
    return {name: counts[name] for name in SETS}


def set_files(name: str) -> tuple[str, str]:
    """The file names of the two sides of a set."""
    return f"{name}.source.txt", f"{name}.target.txt"


def read_raw(text: RawText, short: Counter[Path] | None = None) -> Iterator[Pair]:
    """The sentence pairs of `text`, in constant memory; counts rows that lack a column in `short`.

    Raises UserError as `write_sets`.
    """
    if text.target is None:
        yield from _columns(text, Counter() if short is None else short)
        return
    pairs = zip_longest(_sentences(text.source, text.markup), _sentences(text.target, text.markup))
    for number, (source, target) in enumerate(pairs, 1):
        if source is None or target is None:
            shorter = text.source if source is None else text.target
            raise UserError(f"{shorter.name}: ends after {number - 1} sentences, before the other side does")
        yield source, target


def _columns(text: RawText, short: Counter[Path]) -> Iterator[Pair]:
    first, second = (column - 1 for column in text.columns)
    for line in _lines(text.source):
        fields = line.split("\t")
        if len(fields) > max(first, second):
            yield fields[first].strip(), fields[second].strip()
        else:
            short[text.source] += 1


def _sentences(path: Path, markup: Markup) -> Iterator[str]:
    for number, line in enumerate(_lines(path), 1):
        if markup == "none":
            yield line.strip()
        elif markup == "segments":
            yield from _segments(line, f"{path}:{number}")
        elif not (bare := KEPT_TAGS.sub("", line).strip()).startswith("<"):
            yield _text(bare, f"{path}:{number}")


def _segments(line: str, where: str) -> Iterator[str]:
    position = 0
    while begin := SEGMENT.search(line, position):
        end = SEGMENT_END.search(line, begin.end())
        if end is None:
            raise UserError(f"{where}: a <seg> that does not end on its line")
        yield _text(line[begin.end() : end.start()], where)
        position = end.end()


def _text(markup: str, where: str) -> str:
    """The text that markup stands for; "&#10;", a newline that would split a sentence, becomes a blank."""
    try:
        return as_line(unescape(markup)).strip()
    except ValueError as error:
        raise UserError(f"{where}: a character reference of thousands of digits") from error


def _lines(path: Path) -> TextFile:
    return TextFile(path, errors="replace", remedy="; delete it to get it again")
