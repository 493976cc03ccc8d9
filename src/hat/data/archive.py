"""Single files out of archives, by name and to names of our own: nothing else is ever written."""

import lzma
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from gzip import BadGzipFile
from pathlib import Path, PurePosixPath
from stat import S_IFMT, S_IFREG
from typing import IO

from hat.errors import UserError, named
from hat.progress import Progress, silent

TAR = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
# What damaged archives make their readers raise.
DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, BadGzipFile, zlib.error, lzma.LZMAError, EOFError),
    *(struct.error, NotImplementedError, RuntimeError, ValueError),
)
CHUNK = 1 << 20


def is_archive(path: Path) -> bool:
    """Whether the file holds members; one that does not is text itself, perhaps in gzip."""
    return path.name.endswith((*TAR, ".zip"))


def extract(archive: Path, wanted: Mapping[str, Path], progress: Progress = silent) -> None:
    """Write the members named in `wanted` to the paths given there, all or none. `progress` counts bytes.

    A tar is read to its end, where its checksum stands. Raises UserError for a damaged archive, a
    member that is missing or no plain file, and any that is named outside the archive's folder.
    """
    read = _from_zip if archive.name.endswith(".zip") else _from_tar
    done = False
    try:
        if missing := read(archive, dict(wanted), progress):
            raise UserError(f"{archive}: holds no {', '.join(missing)}")
        done = True
    except DAMAGE as error:
        raise _damaged(archive, error) from error
    except OSError as error:
        if error.errno is None:  # what bz2 raises for bad data
            raise _damaged(archive, error) from error
        raise
    finally:
        for path in () if done else wanted.values():
            path.unlink(missing_ok=True)


def _damaged(archive: Path, error: Exception) -> UserError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return UserError(f"{archive}: damaged archive ({reason}); delete it to get it again")


def _no_file(archive: Path, name: str) -> UserError:
    return UserError(f"{archive}: refused: {named(name)} is no plain file")


def _from_tar(archive: Path, wanted: dict[str, Path], progress: Progress) -> list[str]:
    total = archive.stat().st_size
    with archive.open("rb") as raw, tarfile.open(fileobj=raw, mode="r:*") as members:
        for member in members:
            progress(raw.tell(), total, archive.name)
            name = _checked(archive, member.name)
            if name in wanted:
                stream = members.extractfile(member) if member.isreg() else None
                if stream is None:
                    raise _no_file(archive, name)
                _copy(stream, wanted.pop(name))
        while members.fileobj is not None and members.fileobj.read(CHUNK):
            pass  # to the checksum
    return list(wanted)


def _from_zip(archive: Path, wanted: dict[str, Path], progress: Progress) -> list[str]:
    with zipfile.ZipFile(archive) as members:
        found = {_checked(archive, entry.filename): entry for entry in members.infolist()}
        for index, name in enumerate([*wanted]):
            progress(index, len(wanted), archive.name)
            if name in found:
                # Zips of systems without file types, and Python's own, may leave the type out.
                if S_IFMT(found[name].external_attr >> 16) not in (0, S_IFREG) or found[name].is_dir():
                    raise _no_file(archive, name)
                with members.open(found[name]) as stream:
                    _copy(stream, wanted.pop(name))
    return list(wanted)


def _checked(archive: Path, name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise UserError(f"{archive}: refused: its member {named(name)} lies outside of it")
    return str(path)


def _copy(stream: IO[bytes], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as out:
        shutil.copyfileobj(stream, out, CHUNK)
