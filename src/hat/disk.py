"""A disk as it is: it may be full, it may have no locks, and it has what was written when it says so.

`hat.files` writes whole files and folders with what stands here.
"""

import ctypes
import errno
import fcntl
import os
import re
import shutil
from pathlib import Path
from types import TracebackType

from hat.errors import DiskFull, HatError, UserError

FULL = (errno.ENOSPC, errno.EDQUOT)
# Errors without a number, of safetensors, numpy and SQLite.
FULL_TEXT = re.compile("|".join((*map(os.strerror, FULL), r"\d+ requested and \d+ written", "disk is full")))
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
# Folders that cannot be flushed by themselves (some network file systems), or opened for reading.
NOT_FLUSHED = (errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.ENOSYS, errno.EACCES)
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of linux/fcntl.h and linux/fs.h


def is_full(error: BaseException) -> bool:
    """Whether it was a full disk, or a used-up quota, that stopped some writing."""
    if isinstance(error, HatError):
        return isinstance(error, DiskFull)
    number = getattr(error, "errno", None)
    return number in FULL if number is not None else bool(FULL_TEXT.search(str(error)))


def has_no_room(folder: Path) -> bool:
    """Whether nothing can be written into the folder, for errors that do not say why."""
    probe = unfinished(folder / "probe")
    try:
        with probe.open("wb") as stream:
            stream.write(bytes(1 << 16))
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        return is_full(error)
    finally:
        probe.unlink(missing_ok=True)
    return False


class Room:
    """Context manager around writing to `path`: raises DiskFull, which names it, where there is no room.

    Of one in another, the outer one names what the user knows of.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        """Nothing yet."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and is_full(error):
            raise DiskFull(f"{self._path}: the disk is full; make room and run it again") from error


def lock(descriptor: int, path: Path, *, wait: bool) -> None:
    """Hold the open file `path` for this process, until it is closed.

    Raises BlockingIOError where another process holds it and `wait` is false, UserError where the file
    system has no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno in NO_LOCKS:
            raise no_locks(path, error) from error
        raise


def no_locks(path: Path, reason: object) -> UserError:
    """The error for a file that cannot be locked."""
    told = reason.strerror if isinstance(reason, OSError) else reason
    return UserError(
        f"{path}: this file system has no locks ({told}), without which two processes could spoil each "
        "other's work; choose a folder on a local disk"
    )


def flush_file(path: Path) -> None:
    """Return when the file's content is on the disk."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def flush_folder(folder: Path) -> None:
    """Return when the folder's list of names is on the disk."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in NOT_FLUSHED:
            raise


def flush_tree(path: Path) -> None:
    """Return when a file, or a folder with all that is in it, is on the disk."""
    if path.is_file():
        return flush_file(path)
    for inner in sorted(path.iterdir()):
        if not inner.is_symlink():
            flush_tree(inner)
    return flush_folder(path)


def make_folder(folder: Path) -> None:
    """Make a folder, with those above it that are missing, so that it outlives a power failure."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in missing:
        flush_folder(one.parent)


def replace_file(new: Path, path: Path) -> None:
    """Put a finished file in the place of `path`, on the disk too."""
    flush_file(new)
    new.replace(path)
    flush_folder(path.parent)


def replace_folder(new: Path, folder: Path) -> None:
    """Put a finished folder in the place of `folder`, on the disk too. What was there lies at `new` then.

    There is no moment without either where the system can exchange two names; elsewhere
    `restore_folder` undoes what was interrupted.
    """
    flush_tree(new)
    if not folder.exists() or not exchange(new, folder):
        _replace_in_two_steps(new, folder)
    flush_folder(folder.parent)


def exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step. False where the system or the file system cannot."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        return False
    paths = os.fsencode(one), os.fsencode(other)
    return bool(renameat2(AT_FDCWD, paths[0], AT_FDCWD, paths[1], RENAME_EXCHANGE) == 0)


def _replace_in_two_steps(new: Path, folder: Path) -> None:
    replaced = folder.exists()
    if replaced:
        remove(_former(folder))
        folder.rename(_former(folder))
    new.rename(folder)
    if replaced:
        _former(folder).rename(new)


def restore_folder(folder: Path) -> None:
    """Put back what was in the place of `folder`, if its replacement was interrupted half-way."""
    if not folder.exists() and _former(folder.absolute()).is_dir():
        _former(folder.absolute()).rename(folder)
        flush_folder(folder.absolute().parent)


def _former(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.hat-former")


def unfinished(path: Path) -> Path:
    """Where a file or folder is written before it gets its name. Always the same place, so that a killed
    process leaves one stray at most, which the next one removes; and nobody else's."""
    return path.with_name(f".{path.name}.hat-unfinished")


def remove(path: Path) -> None:
    """Remove a file or a folder of ours, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
