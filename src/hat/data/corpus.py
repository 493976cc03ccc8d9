"""Parallel text as it lies on disk: two line-aligned files, or one TSV, plain or gzipped."""

import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO

from hat.errors import UserError
from hat.progress import Progress, silent

Pair = tuple[str, str]

# Far above any sentence; a longer "line" is a file that is no text of one sentence per line,
# and reading it whole would break the memory bound.
MAX_LINE_BYTES = 1 << 20
PROGRESS_EVERY = 1 << 14


@dataclass(frozen=True)
class Part:
    """Some parallel text: line i of `source` belongs to line i of `target`.

    Without a `target`, `source` is a TSV: source, one tab, target. Files whose name ends in .gz
    are gzip.
    """

    source: Path
    target: Path | None = None


def read_pairs(
    parts: Sequence[Part], allow_empty: bool = True, progress: Progress = silent
) -> Iterator[Pair]:
    """Stream the sentence pairs of `parts` in turn, in constant memory.

    A byte order mark at the start of a file and white space at the end of a sentence are removed.
    Lines end at "\\n" only: U+2028 and its like are part of a sentence. `progress` counts bytes.

    Raises UserError naming file and line for a file that is missing, unreadable, empty, binary,
    not UTF-8 or a broken gzip; for unequal line counts; for a TSV line without exactly one tab;
    and, unless `allow_empty`, for an empty sentence.
    """
    if not parts:
        raise UserError("no parallel text given: name a source and a target file, or a TSV")
    total = sum(_size(part.source) for part in parts)
    before = 0
    for part in parts:
        source = _TextFile(part.source)
        pairs = _two_files(source, part.target) if part.target else _tsv(source)
        for number, pair in enumerate(pairs, 1):
            if not (allow_empty or (pair[0] and pair[1])):
                side = part.target if pair[0] and part.target else part.source
                raise UserError(f"{side}:{number}: empty sentence; this set needs both sides")
            if number % PROGRESS_EVERY == 0:
                progress(before + source.position(), total, f"{part.source.name}:{number}")
            yield pair
        before += _size(part.source)


def read_lines(path: Path) -> list[str]:
    """All lines of a text file (as `read_pairs` reads them). Raises UserError as it does."""
    return [line.rstrip() for line in _TextFile(path)]


def _two_files(source: "_TextFile", target_path: Path) -> Iterator[Pair]:
    target = _TextFile(target_path)
    sources, targets = iter(source), iter(target)
    for number, (left, right) in enumerate(zip_longest(sources, targets), 1):
        if left is None or right is None:
            longer = number + sum(1 for _ in (sources if right is None else targets))
            counts = (longer, number - 1) if right is None else (number - 1, longer)
            raise UserError(
                f"{source.path} has {counts[0]} lines and {target.path} has {counts[1]}; "
                "parallel text needs equally many"
            )
        yield left.rstrip(), right.rstrip()


def _tsv(source: "_TextFile") -> Iterator[Pair]:
    for number, line in enumerate(source, 1):
        fields = line.split("\t")
        if len(fields) != 2:
            raise UserError(
                f"{source.path}:{number}: {len(fields) - 1} tabs; a TSV line is source, one tab, target"
            )
        yield fields[0].rstrip(), fields[1].rstrip()


class _TextFile:
    """The lines of one UTF-8 file, checked one by one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None

    def position(self) -> int:
        """Bytes read so far, of the compressed file if it is one."""
        return self._file.tell() if self._file and not self._file.closed else 0

    def __iter__(self) -> Iterator[str]:
        number = 0
        try:
            with self.path.open("rb") as self._file:
                stream = _plain(self._file, self.path)
                while raw := stream.readline(MAX_LINE_BYTES):
                    number += 1
                    yield self._decode(raw, number)
        except gzip.BadGzipFile as error:
            raise UserError(f"{self.path}: not a sound gzip file ({error})") from error
        except (EOFError, zlib.error) as error:
            raise UserError(f"{self.path}: damaged gzip file after line {number}") from error
        except OSError as error:
            raise UserError(f"{self.path}: cannot be read ({error.strerror})") from error
        if number == 0:
            raise UserError(f"{self.path}: empty file")

    def _decode(self, raw: bytes, number: int) -> str:
        if len(raw) == MAX_LINE_BYTES and raw[-1:] != b"\n":
            raise UserError(
                f"{self.path}:{number}: line over {MAX_LINE_BYTES} bytes; expected one sentence a line"
            )
        if b"\0" in raw:
            raise UserError(
                f"{self.path}:{number}: NUL byte; this is a binary file or UTF-16, not UTF-8 text"
            )
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{self.path}:{number}: not UTF-8 (byte {error.start + 1})") from error
        return text.rstrip("\r\n")


def _plain(file: BinaryIO, path: Path) -> BinaryIO | io.BufferedReader:
    if path.suffix != ".gz":
        return file
    # The buffer makes readline about ten times faster than GzipFile's own.
    return io.BufferedReader(gzip.GzipFile(fileobj=file, mode="rb"))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
