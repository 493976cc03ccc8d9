"""Standard input, output and error: UTF-8, whatever the locale; a closed one is an error of one line."""

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

INPUT, OUTPUT, ERROR = 0, 1, 2  # file descriptors


class ReaderGone(Exception):
    """The reader of standard output has ended, as in `| head -1`: the command ends without an error."""


def open_streams() -> None:
    """Set up the standard streams of this process, before anything is read or written.

    Raises UserError where standard output is closed: every command prints something.
    """
    for descriptor in (INPUT, OUTPUT, ERROR):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: a file opened later would get its number, the lowest free one
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    # Streams that other code has replaced, such as a test, stay as they are.
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text_stream(_Messages(ERROR, "wb", closefd=False))
    if sys.stdout is None:
        raise UserError("standard output is closed; give it a file or a pipe, or /dev/null")
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text_stream(_Output(OUTPUT, "wb", closefd=False))
    if sys.stdin is sys.__stdin__ and isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="strict", newline="\n")


def silence_followers() -> None:
    """Drop all output of a process that torchrun has started beside the first one, which speaks for all."""
    if "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("RANK") != "0":
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, OUTPUT)
        os.dup2(nowhere, ERROR)


def flush_output(failed: bool = False) -> None:
    """Write the buffered output. Raises the errors of writing, unless the command has `failed` already."""
    with suppress(*((ReaderGone, HatError) if failed else ())):
        if sys.stdout is not None:
            sys.stdout.flush()


def input_lines() -> Iterator[str]:
    """The lines of standard input (`hat.lines`), each as soon as it arrives.

    They are read from below Python's buffer: a thread that waits for input holds the buffer's lock, and
    Python crashes if the process exits at that time. Raises UserError where the input is closed, unreadable
    or not UTF-8.
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
    """Lines typed at a prompt on a terminal; without a terminal, the lines of standard input."""
    if sys.stdin is None or not sys.stdin.isatty():
        yield from input_lines()
        return
    while True:
        try:
            yield input("> ")
        except EOFError:
            return
        except UnicodeDecodeError as error:
            raise UserError("standard input: the typed line is not UTF-8 text") from error


def print_line(text: str) -> None:
    """Print `text` as one line, at once; on a terminal, control characters are escaped."""
    print(visible(text) if sys.stdout.isatty() else as_line(text), flush=True)


def _text_stream(raw: io.FileIO) -> io.TextIOWrapper:
    # Text that cannot be encoded, such as a file name in another encoding, is printed with escapes.
    return io.TextIOWrapper(
        io.BufferedWriter(raw), "utf-8", "backslashreplace", newline="\n", line_buffering=raw.isatty()
    )


class _Output(io.FileIO):
    """Standard output, below Python's buffer. Its errors differ from those of other files; each is raised
    once, and later output is dropped."""

    _broken = False

    def write(self, data: "ReadableBuffer", /) -> int:
        size = memoryview(data).nbytes
        if self._broken:
            return size
        try:
            while (written := super().write(data)) is None:  # another program made the stream non-blocking
                select.select([], [self], [])
        except OSError as error:
            self._broken = True
            self._handle(error)
            return size
        return written

    def _handle(self, error: OSError) -> None:
        if error.errno == errno.EPIPE:
            raise ReaderGone from error
        if is_full(error):
            raise DiskFull("standard output: the disk is full") from error
        raise HatError(f"standard output: {error.strerror}") from error


class _Messages(_Output):
    """Standard error: where messages cannot be written, work goes on without them."""

    def _handle(self, error: OSError) -> None:
        pass
