"""Parallel text in files: two line-aligned files, or one TSV, plain or compressed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from hat.arguments import file_path, whole_number
from hat.data.text_file import TextFile
from hat.errors import UserError, shown
from hat.progress import Progress, silent

Pair = tuple[str, str]

PROGRESS_EVERY = 1 << 14


@dataclass(frozen=True)
class ParallelText:
    """Some parallel text: line i of `source` belongs to line i of `target`.

    Without a `target`, `source` is a TSV: source, one tab, target; or, with `columns` (counted from 1), two
    of its columns. Files may be compressed with gzip, bzip2, xz or Zstandard, recognised by content, not by
    name.
    """

    source: Path
    target: Path | None = None
    columns: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Raises UserError for values that are no paths, or columns that are not two numbers from 1."""
        object.__setattr__(self, "source", file_path("source", self.source))
        if self.target is not None:
            object.__setattr__(self, "target", file_path("target", self.target))
        if self.columns is not None:
            object.__setattr__(self, "columns", _two_columns(self.columns))


def _two_columns(columns: Any) -> tuple[int, int]:
    if not isinstance(columns, list | tuple) or len(columns) != 2:
        raise UserError(f"columns: {shown(columns)} is not [SOURCE, TARGET], the numbers of two columns")
    first, second = (whole_number("columns", column) for column in columns)
    if first < 1 or second < 1 or first == second:
        raise UserError(f"columns: {shown(list(columns))}; two different columns are needed, counted from 1")
    return first, second


def read_pairs(
    parts: Sequence[ParallelText], allow_empty: bool = True, progress: Progress = silent
) -> Iterator[Pair]:
    """Stream the sentence pairs of `parts` in turn, in constant memory.

    A byte order mark at the start of a file, NULs, and white space at the end of a sentence are removed.
    Lines end as `hat.lines` says: a "\\r" within a sentence, U+2028 and the like are part of it. `progress`
    counts bytes.

    Raises UserError naming file and line as `TextFile` does; for unequal line counts; for a TSV line without
    exactly one tab, or with too few columns for `columns`; and, unless `allow_empty`, for an empty sentence.
    """
    if isinstance(parts, str | Path | ParallelText):
        raise UserError(f"parts: expected a list of ParallelText, not {shown(parts)}")
    if not parts:
        raise UserError("no parallel text given: name a source and a target file, or a TSV")
    total = sum(_size(part.source) for part in parts)
    before = 0
    for part in parts:
        source = TextFile(part.source)
        pairs = _two_files(source, part.target) if part.target else _tsv(source, part.columns)
        for number, pair in enumerate(pairs, 1):
            if not (allow_empty or (pair[0] and pair[1])):
                side = part.target if pair[0] and part.target else part.source
                raise UserError(f"{side}:{number}: empty sentence; this set needs both sides")
            if number % PROGRESS_EVERY == 0:
                progress(before + source.position(), total, f"{part.source.name}:{number}")
            yield pair
        before += _size(part.source)


def _two_files(source: TextFile, target_path: Path) -> Iterator[Pair]:
    target = TextFile(target_path)
    sources, targets = iter(source), iter(target)
    for number, (left, right) in enumerate(zip_longest(sources, targets), 1):
        if left is None or right is None:
            longer = number + sum(1 for _ in (sources if right is None else targets))
            counts = (longer, number - 1) if right is None else (number - 1, longer)
            lines = f"{source.path} has {counts[0]} lines and {target.path} has {counts[1]}"
            raise UserError(f"{lines}; parallel text needs equally many")
        yield left.rstrip(), right.rstrip()


def _tsv(file: TextFile, columns: tuple[int, int] | None) -> Iterator[Pair]:
    first, second = columns or (1, 2)
    for number, line in enumerate(file, 1):
        fields = line.split("\t")
        if columns is None and len(fields) != 2:
            raise UserError(
                f"{file.path}:{number}: {len(fields) - 1} tabs; a TSV line is source, one tab, target "
                "(columns: [1, 2] takes two columns of more)"
            )
        if len(fields) < max(first, second):
            needed = f"columns: [{first}, {second}] needs {max(first, second)}"
            raise UserError(f"{file.path}:{number}: {len(fields)} columns; {needed}")
        yield fields[first - 1].rstrip(), fields[second - 1].rstrip()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
