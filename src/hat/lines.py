"""The definition of a line, for all text that is read and written.

A line ends at "\\n"; a "\\r" directly before it belongs to the line's end. Nothing else ends a line: any
other "\\r", U+2028, U+0085, a form feed and the like are part of it. Text is UTF-8; a byte order mark in
front is not part of the text.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hat.errors import UserError
from hat.files import atomic_path, read_text

# Far above the length of any sentence. A longer "line" shows that the file is not text with one sentence a
# line, and holding it whole would break every bound on memory.
MAX_LINE_BYTES = 1 << 20
CHUNK = 1 << 16
MARK = "\ufeff".encode()
UTF16_MARKS = ("\ufeff".encode("utf-16-le"), "\ufeff".encode("utf-16-be"))
ENDS = re.compile(r"\r?\n|\r\Z")


def decoded_lines(read: Callable[[int], bytes | None], where: str, errors: str = "strict") -> Iterator[str]:
    """The lines of the bytes that `read(size)` returns until it returns none, each as soon as it is complete.

    `errors`: treatment of bytes that are not UTF-8, as in `bytes.decode`. Memory is bounded by
    MAX_LINE_BYTES. Raises UserError naming `where` and the line, for a line that is longer or not UTF-8.
    """
    for number, raw in enumerate(_raw_lines(read, where), 1):
        line = raw.removeprefix(MARK) if number == 1 else raw
        try:
            yield line.decode("utf-8", errors)
        except UnicodeDecodeError as error:
            if number == 1 and raw.startswith(UTF16_MARKS):
                raise UserError(f"{where}:1: this is UTF-16; convert it to UTF-8") from error
            raise UserError(
                f"{where}:{number}: not UTF-8 text (byte {error.start + 1} of the line)"
            ) from error


def _raw_lines(read: Callable[[int], bytes | None], where: str) -> Iterator[bytes]:
    number, rest = 1, b""
    while chunk := read(CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            _check_length(line, where, number)
            yield line.removesuffix(b"\r")
            number += 1
        _check_length(rest, where, number)
    if rest.removeprefix(MARK if number == 1 else b""):
        yield rest


def _check_length(line: bytes, where: str, number: int) -> None:
    if len(line) > MAX_LINE_BYTES:
        raise UserError(f"{where}:{number}: line over {MAX_LINE_BYTES:,} bytes; expected one sentence a line")


def split_lines(text: str) -> list[str]:
    """The lines of a text in memory."""
    *ended, last = text.split("\n")
    lines = [line.removesuffix("\r") for line in ended]
    return [*lines, last] if last else lines


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that fits into memory. Raises UserError like `read_text`."""
    return split_lines(read_text(path))


def as_line(text: str) -> str:
    """`text` as one line: line ends inside become blanks, so that it is read back as one line."""
    return ENDS.sub(" ", text)


@contextmanager
def line_writer(path: Path) -> Iterator[Callable[[str], object]]:
    """Yield a function that writes its argument as one line (`as_line`); the file appears at the end."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
        yield lambda line: stream.write(f"{as_line(line)}\n")


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write one line for each of `lines`, whole or not at all, without holding them all in memory."""
    with line_writer(path) as write:
        for line in lines:
            write(line)
