"""A disk with its failures: full, without locks, or interrupted before its data is safe.

`hat.files` builds on this module to write whole files and folders.
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
# The texts of errors without an error number, from safetensors, numpy and SQLite.
FULL_TEXT = re.compile("|".join((*map(os.strerror, FULL), r"\d+ requested and \d+ written", "disk is full")))
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
# Errors of folders that cannot be flushed by themselves (some network file systems) or opened for reading.
NOT_FLUSHED = (errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.ENOSYS, errno.EACCES)
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of linux/fcntl.h and linux/fs.h


def is_full(error: BaseException) -> bool:
    """True if writing failed because of a full disk or a used-up quota."""
    if isinstance(error, HatError):
        return isinstance(error, DiskFull)
    number = getattr(error, "errno", None)
    return number in FULL if number is not None else bool(FULL_TEXT.search(str(error)))


def has_no_room(folder: Path) -> bool:
    """True if nothing can be written into the folder; for errors that do not name the cause."""
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
    """Context manager for writing to `path`: turns errors of a full disk into DiskFull, which names `path`.
    Of nested ones the outer one names its path, which the user knows."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        """Does nothing."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and is_full(error):
            raise DiskFull(f"{self._path}: the disk is full; make room and run it again") from error


def lock(descriptor: int, path: Path, *, wait: bool) -> None:
    """Hold the open file `path` for this process, until it is closed. Raises BlockingIOError where another
    process holds it and `wait` is false, UserError where the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NO_LOCKS:
            raise no_locks(path, error) from error
        raise


def no_locks(path: Path, reason: object) -> UserError:
    """The error for a file that cannot be locked."""
    problem = reason.strerror if isinstance(reason, OSError) else reason
    return UserError(
        f"{path}: this file system has no locks ({problem}), without which two processes could spoil each "
        "other's work; choose a folder on a local disk"
    )


def flush_file(path: Path) -> None:
    """Flush the file's content to the disk."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def flush_folder(folder: Path) -> None:
    """Flush the folder's list of names to the disk."""
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
    """Flush a file, or a folder with everything in it, to the disk."""
    if path.is_file():
        return flush_file(path)
    for inner in sorted(path.iterdir()):
        if not inner.is_symlink():
            flush_tree(inner)
    return flush_folder(path)


def make_folder(folder: Path) -> None:
    """Make a folder and all missing ones above it, so that they outlive a power failure."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        flush_folder(path.parent)


def replace_file(new: Path, path: Path) -> None:
    """Move a finished file to `path`, and flush that to the disk."""
    flush_file(new)
    new.replace(path)
    flush_folder(path.parent)


def replace_folder(new: Path, folder: Path) -> None:
    """Move a finished folder to `folder`, and flush that to the disk; the earlier one lies at `new` then.

    If the system can exchange two names, one of the two folders is in place at every moment; otherwise
    `restore_folder` repairs an interrupted replacement.
    """
    flush_tree(new)
    if not folder.exists() or not exchange(new, folder):
        _replace_in_two_steps(new, folder)
    flush_folder(folder.parent)


def exchange(first: Path, second: Path) -> bool:
    """Exchange two names in one step. False where the system or the file system cannot."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    names = AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second)
    return renameat2 is not None and bool(renameat2(*names, RENAME_EXCHANGE) == 0)


def _replace_in_two_steps(new: Path, folder: Path) -> None:
    replaced = folder.exists()
    if replaced:
        remove(_former(folder))
        folder.rename(_former(folder))
    new.rename(folder)
    if replaced:
        _former(folder).rename(new)


def restore_folder(folder: Path) -> None:
    """Put the earlier folder back to `folder` if its replacement was interrupted half-way."""
    former = _former(folder.absolute())
    if not folder.exists() and former.is_dir():
        former.rename(folder)
        flush_folder(former.parent)


def _former(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.hat-former")


def unfinished(path: Path) -> Path:
    """The path at which a file or folder is written before it gets its name: always the same one, so that a
    killed process leaves at most one stray, which the next one removes."""
    return path.with_name(f".{path.name}.hat-unfinished")


def remove(path: Path) -> None:
    """Remove a file or a folder of HAT's, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
