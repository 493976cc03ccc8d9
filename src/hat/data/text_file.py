"""One file of a corpus as lines, plain or compressed."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from hat.data.compressed import Damaged, decompressed
from hat.errors import UserError
from hat.lines import decoded_lines


@dataclass
class TextFile:
    """The lines of one file, in constant memory, without NULs, which no text has.

    `errors`: treatment of bytes that are not UTF-8, as in `bytes.decode` ("strict": a UserError). `remedy`:
    the end of the message about a damaged file. Iterating raises UserError naming file and line for a file
    that is missing, unreadable, empty, damaged, binary or UTF-16, or has a line of more than MAX_LINE_BYTES.
    """

    path: Path
    errors: str = "strict"
    remedy: str = ""
    _file: BinaryIO | None = field(default=None, repr=False)

    def position(self) -> int:
        """The number of bytes read so far, of the compressed file if it is one."""
        return self._file.tell() if self._file and not self._file.closed else 0

    def __iter__(self) -> Iterator[str]:
        number = 0
        try:
            with self.path.open("rb") as file:
                self._file = file
                with decompressed(self.path, file) as stream:
                    for line in decoded_lines(self._reader(stream), str(self.path), self.errors):
                        number += 1
                        yield line.replace("\0", "")
        except Damaged as error:
            raise UserError(f"{self.path}: {error} after line {number}{self.remedy}") from error
        except OSError as error:
            raise UserError(f"{self.path}: cannot be read ({error.strerror})") from error
        if number == 0:
            raise UserError(f"{self.path}: empty file")

    def _reader(self, stream: io.BufferedIOBase) -> Callable[[int], bytes]:
        """The function that reads the stream. Raises UserError if its beginning is not that of a text."""
        begun = False

        def read(size: int) -> bytes:
            nonlocal begun
            chunk = stream.read(size)
            if not begun and (kind := _other_kind(chunk)):
                raise UserError(f"{self.path}:1: NUL bytes; this is {kind}")
            begun = True
            return chunk

        return read


def _other_kind(beginning: bytes) -> str | None:
    """The kind of a file that holds NULs and is not UTF-8 text; None for text with stray NULs.

    A tar, UTF-32 and most binary files have several NULs in a row. UTF-16 has one on the same side of every
    newline, and some in the text itself (at least in its blanks).
    """
    if b"\0\0\0" in beginning:
        return "a binary file or an archive, not UTF-8 text"
    ends = beginning.count(b"\n")
    beside = max(beginning.count(b"\n\0"), beginning.count(b"\0\n"))
    utf16 = 0 < ends == beside and beginning.count(b"\0") > ends
    return "UTF-16, convert it to UTF-8" if utf16 else None
