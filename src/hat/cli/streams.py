"""Standard input, output and error: always UTF-8, whatever the locale; closed streams are one-line errors."""

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from hat.disk import is_full
from hat.errors import DiskFull, HatError, UserError, visible
from hat.lines import as_line, decoded_lines

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

INPUT, OUTPUT, ERROR = 0, 1, 2  # descriptors


class ReaderGone(Exception):
    """Standard output has no reader any more, as after `| head -1`: the command ends, without an error."""


def open_streams() -> None:
    """Set up the standard streams of this process; to be called before anything is read or written.

    Raises UserError where standard output is closed: every command prints something.
    """
    for descriptor in (INPUT, OUTPUT, ERROR):
        _occupy(descriptor)
    # Streams that other code put there, such as a test's, are left alone.
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_Messages(ERROR, "wb", closefd=False))
    if sys.stdout is None:
        raise UserError("standard output is closed; give it a file or a pipe, or /dev/null")
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(_Output(OUTPUT, "wb", closefd=False))
    if sys.stdin is sys.__stdin__ and isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="strict", newline="\n")


def flush_output(failed: bool = False) -> None:
    """Write all that is buffered. Raises the errors of writing, unless the command `failed` already."""
    lost = (ReaderGone, HatError) if failed else ()
    with suppress(*lost):
        if sys.stdout is not None:
            sys.stdout.flush()


def input_lines() -> Iterator[str]:
    """Standard input as lines (`hat.lines`), each as soon as it arrives.

    Reads below Python's buffer: a thread that waits for input holds the buffer's lock, and Python crashes if
    the process exits meanwhile. Raises UserError where the input is closed, unreadable or not UTF-8.
    """
    if sys.stdin is None:
        raise UserError("standard input is closed; give it text, for example < in.txt")
    stream = getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)

    def read(size: int) -> bytes:
        try:
            while (chunk := stream.read(size)) is None:  # another program made the pipe non-blocking
                select.select([stream], [], [])
        except OSError as error:
            raise UserError(f"standard input: cannot be read ({error.strerror})") from error
        return bytes(chunk)

    return decoded_lines(read, "standard input")


def typed_lines() -> Iterator[str]:
    """Lines typed on a terminal, after a prompt; without a terminal, those of `input_lines`."""
    if sys.stdin is None or not sys.stdin.isatty():
        yield from input_lines()
        return
    while True:
        try:
            yield input("> ")
        except EOFError:
            return
        except UnicodeDecodeError as error:
            raise UserError("standard input: what was typed is not UTF-8 text") from error


def print_line(text: str) -> None:
    """Print `text` as one line, at once; characters that a terminal would obey are escaped."""
    print(visible(text) if sys.stdout.isatty() else as_line(text), flush=True)


def _occupy(descriptor: int) -> None:
    """Open /dev/null in the place of a closed standard stream, which a file opened later would take."""
    try:
        os.fstat(descriptor)
    except OSError:
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free


def _text(raw: io.FileIO) -> io.TextIOWrapper:
    # Text that cannot be encoded, such as a file name in another encoding, is printed with escapes.
    return io.TextIOWrapper(
        io.BufferedWriter(raw), "utf-8", "backslashreplace", newline="\n", line_buffering=raw.isatty()
    )


class _Output(io.FileIO):
    """Standard output below Python's buffers: its errors differ from those of other files, are raised once,
    and later output is dropped."""

    _lost = False

    def write(self, data: "ReadableBuffer", /) -> int:
        size = memoryview(data).nbytes
        if self._lost:
            return size
        try:
            while (written := super().write(data)) is None:  # another program made the stream non-blocking
                select.select([], [self], [])
        except OSError as error:
            self._lost = True
            self._tell(error)
            return size
        return written

    def _tell(self, error: OSError) -> None:
        if error.errno == errno.EPIPE:
            raise ReaderGone from error
        if is_full(error):
            raise DiskFull("standard output: the disk is full") from error
        raise HatError(f"standard output: {error.strerror}") from error


class _Messages(_Output):
    """Standard error: work goes on without messages where they cannot be written."""

    def _tell(self, error: OSError) -> None:
        pass
