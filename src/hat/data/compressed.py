"""Compressed files (gzip, bzip2, xz, Zstandard), recognised by content, not by name."""

import bz2
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hat.errors import UserError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BEGINNING = 10  # bytes that identify the kind
CHUNK = 1 << 16

# A stream of decompressed content, and the errors it raises where the file is damaged.
Opened = tuple[io.BufferedIOBase, tuple[type[Exception], ...]]


class Damaged(Exception):
    """The content of a compressed file cannot be read. The message is for the user."""


@contextmanager
def decompressed(path: Path, raw: io.BufferedReader) -> Iterator[io.BufferedIOBase]:
    """The content of the file `path`, opened as `raw`, as a stream; `raw` itself for a plain file.

    `read(n)` of the stream gives at most n bytes and holds little more. Reading raises Damaged, and UserError
    if the package that the kind of compression needs is not installed.
    """
    beginning = raw.peek(BEGINNING)[:BEGINNING]
    kind = next((kind for kind in KINDS if beginning.startswith(kind.beginnings)), None)
    if kind is None:
        yield raw
        return
    try:
        stream, damage = kind.open(raw)
    except ModuleNotFoundError as error:
        raise UserError(
            f"{path}: compressed with {kind.name}, which needs {error.name}, which is not installed: "
            "pip install 'hardware-aware-transformers[train]'"
        ) from error
    try:
        with stream:
            yield stream
    except damage as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk's failure
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise Damaged(f"damaged {kind.name} file ({reason})") from error


def _gzip(raw: io.BufferedReader) -> Opened:
    return gzip.GzipFile(fileobj=raw, mode="rb"), (gzip.BadGzipFile, zlib.error, EOFError)


def _bzip2(raw: io.BufferedReader) -> Opened:
    return io.BufferedReader(_Streams(raw, bz2.BZ2Decompressor)), (OSError, EOFError)


def _xz(raw: io.BufferedReader) -> Opened:
    decompressor = partial(lzma.LZMADecompressor, lzma.FORMAT_XZ)
    return io.BufferedReader(_Streams(raw, decompressor)), (lzma.LZMAError, EOFError)


def _zstandard(raw: io.BufferedReader) -> Opened:
    # ruff: noqa: PLC0415 (before Python 3.14, only Zstandard needs a package)
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd.ZstdFile(raw), (zstd.ZstdError, EOFError)


class _Streams(io.RawIOBase):
    """The content of compressed streams end to end, with zeros behind each (xz pads so).

    Unlike bz2.BZ2File and lzma.LZMAFile it does not take a stream with a damaged beginning for the end.
    """

    def __init__(
        self, raw: io.BufferedReader, decompressor: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]
    ) -> None:
        self._raw, self._new = raw, decompressor
        self._start = raw.tell()
        self._begin()

    def _begin(self) -> None:
        self._one, self._rest, self._position = self._new(), b"", 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Backwards, which readers of archives do by a byte, decompresses again from the beginning."""
        if whence == io.SEEK_END:
            raise io.UnsupportedOperation("the length is not known")
        target = offset + (self._position if whence == io.SEEK_CUR else 0)
        if target < self._position:
            self._raw.seek(self._start)
            self._begin()
        while self._position < target and self.readinto(bytearray(min(target - self._position, CHUNK))):
            pass
        return self._position

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        view = memoryview(buffer)
        while not self._one.eof or self._begin_another():
            content = self._one.decompress(self._packed(), len(view))
            view[: len(content)] = content
            if content:
                self._position += len(content)
                return len(content)
        return 0

    def _begin_another(self) -> bool:
        """Go on to the next stream; False at the end of the file."""
        packed = self._one.unused_data.lstrip(b"\0")
        while not packed and (chunk := self._raw.read(CHUNK)):
            packed = chunk.lstrip(b"\0")
        if packed:
            self._one, self._rest = self._new(), packed
        return bool(packed)

    def _packed(self) -> bytes:
        """More of the stream, if the decompressor needs more. Raises EOFError where there is none."""
        packed, self._rest = self._rest, b""
        if packed or not self._one.needs_input:
            return packed
        if chunk := self._raw.read(CHUNK):
            return chunk
        raise EOFError("Compressed file ended before the end-of-stream marker was reached")


class Kind(NamedTuple):
    """A kind of compression. `beginnings`: the first bytes of its files. No UTF-8 text begins so, except by a
    bzip2 beginning, which is ASCII but too long to occur by chance."""

    name: str
    beginnings: tuple[bytes, ...]
    open: Callable[[io.BufferedReader], Opened]


_BLOCKS = (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90")  # of bzip2: the first one, or the end of an empty file
_SKIPPABLE = tuple(bytes((byte, 0x2A, 0x4D, 0x18)) for byte in range(0x50, 0x60))  # frames of Zstandard
KINDS = (
    Kind("gzip", (b"\x1f\x8b",), _gzip),
    Kind("bzip2", tuple(b"BZh%d%b" % (size, block) for size in range(1, 10) for block in _BLOCKS), _bzip2),
    Kind("xz", (b"\xfd7zXZ\x00",), _xz),
    Kind("zstd", (b"\x28\xb5\x2f\xfd", *_SKIPPABLE), _zstandard),
)
