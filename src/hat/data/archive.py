"""Extraction of single files from archives, to paths that the caller chooses: nothing else is written."""

import io
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from stat import S_IFMT, S_IFREG
from typing import IO, Literal

from hat.data.compressed import Damaged, decompressed
from hat.errors import UserError, named
from hat.progress import Progress, silent

# Names of archives: a file with such a name and other content, such as a web page, is no text either.
NAMES = (".zip", ".tar", ".tgz", ".tbz2", ".txz", *(f".tar.{kind}" for kind in ("gz", "bz2", "xz", "zst")))
ZIP = (b"PK\x03\x04", b"PK\x05\x06")
# The errors that readers of archives raise for damaged ones.
DAMAGE = (
    *(Damaged, tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError),
    *(struct.error, NotImplementedError, RuntimeError, ValueError),
)
CHUNK = 1 << 20


def is_archive(path: Path) -> bool:
    """True if the file is an archive of members, by its content or its name; any other file is text itself,
    perhaps compressed."""
    return path.name.lower().endswith(NAMES) or _kind(path) is not None


def _kind(path: Path) -> Literal["zip", "tar"] | None:
    """The kind of archive, by the file's first bytes; None for other files."""
    with path.open("rb") as raw:
        if raw.peek(4).startswith(ZIP):
            return "zip"
        try:
            with decompressed(path, raw) as stream:
                tarfile.TarInfo.frombuf(stream.read(tarfile.BLOCKSIZE), "utf-8", "replace")
        except (tarfile.TarError, Damaged):
            return None
        return "tar"


def extract(archive: Path, wanted: Mapping[str, Path], progress: Progress = silent) -> None:
    """Write the members named in `wanted` to the paths given there, all or none. `progress` counts bytes.

    A tar is read to its end, where its compression's checksum is. Raises UserError for a damaged archive, a
    member that is missing or no plain file, and any that is named outside the archive's folder.
    """
    read = _from_zip if _kind(archive) == "zip" else _from_tar
    with ExitStack() as stack:
        for path in wanted.values():
            stack.callback(path.unlink, missing_ok=True)
        try:
            missing = read(archive, dict(wanted), progress)
        except DAMAGE as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            problem = f"damaged archive ({reason}); delete it to get it again"
            raise UserError(f"{archive}: {problem}") from error
        if missing:
            raise UserError(f"{archive}: holds no {', '.join(missing)}")
        stack.pop_all()


def _no_file(archive: Path, name: str) -> UserError:
    return UserError(f"{archive}: refused: {named(name)} is not a plain file")


def _from_tar(archive: Path, wanted: dict[str, Path], progress: Progress) -> list[str]:
    total = archive.stat().st_size
    with archive.open("rb") as raw, decompressed(archive, raw) as content:
        with _Tar.open(fileobj=_Cautious(content), mode="r:") as members:
            while member := members.next():
                members.members.clear()  # the list would grow with every member
                progress(raw.tell(), total, archive.name)
                name = _safe_name(archive, member.name)
                if name in wanted:
                    plain = member.isreg() and not member.issparse()  # a sparse file may claim any size
                    stream = members.extractfile(member) if plain else None
                    if stream is None:
                        raise _no_file(archive, name)
                    _copy(stream, wanted.pop(name))
        while content.read(CHUNK):
            pass  # to the checksum
    return list(wanted)


class _Tar(tarfile.TarFile):
    """The library's class; `members` holds the members read so far."""

    members: list[tarfile.TarInfo]


class _Cautious(io.BufferedReader):
    """The content of a tar; refuses headers of a claimed size that the tar reader would hold in memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= CHUNK:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return super().read(size)

    def close(self) -> None:
        """Leave the content open: the rest of it is still to be read."""


def _from_zip(archive: Path, wanted: dict[str, Path], progress: Progress) -> list[str]:
    with zipfile.ZipFile(archive) as members:
        entries = {_safe_name(archive, entry.filename): entry for entry in members.infolist()}
        for index, name in enumerate([*wanted]):
            progress(index, len(wanted), archive.name)
            if name in entries:
                # Zips of systems without file types, and Python's own, may leave the type out.
                if S_IFMT(entries[name].external_attr >> 16) not in (0, S_IFREG) or entries[name].is_dir():
                    raise _no_file(archive, name)
                with members.open(entries[name]) as stream:
                    _copy(stream, wanted.pop(name))
    return list(wanted)


def _safe_name(archive: Path, name: str) -> str:
    """The name of a member. Raises UserError for a path outside of the archive's folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise UserError(f"{archive}: refused: its member {named(name)} lies outside of it")
    return str(path)


def _copy(stream: IO[bytes], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as out:
        shutil.copyfileobj(stream, out, CHUNK)
