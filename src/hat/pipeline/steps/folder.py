"""A run folder: whose it is, which format it has, and who is working in it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hat.disk import Room, lock, make_folder, unfinished
from hat.errors import UserError
from hat.file_names import RUN_FILE
from hat.files import check_keys, read_json, write_json
from hat.version import __version__

RUN_FORMAT = 1
RECIPE_FILE = "recipe.yaml"
LOCK_FILE = ".lock"
STEPS = "steps"  # holds the results of steps
TEXT_DIGESTS = "text-digests.json"
MEASUREMENTS = "measurements.sqlite"  # those of all devices
# What a process killed while it made the folder may leave.
LEFTOVERS = {LOCK_FILE, unfinished(Path(RUN_FILE)).name}


def open_folder(root: Path) -> None:
    """Check that `root` is a run folder this version can work in.

    Raises UserError if it is none, or was written in another format.
    """
    path = root / RUN_FILE
    if not path.exists():
        raise UserError(f"{root}: not a run folder (no {RUN_FILE}); `hat run RECIPE --run-dir DIR` makes one")
    run = check_keys(read_json(path), ("format", "hat"), str(path))
    if run["format"] != RUN_FORMAT:
        raise UserError(
            f"{root}: written by hat {run['hat']} in run format {run['format']}, but this is "
            f"hat {__version__} and format {RUN_FORMAT}; start a new run with --run-dir"
        )


def is_run(root: Path) -> bool:
    """True if `root` is a run folder, of whatever format."""
    return (root / RUN_FILE).exists()


def check_usable(root: Path) -> None:
    """Check that a run can be made or continued in `root`. Raises UserError, for other folders too."""
    if is_run(root):
        return open_folder(root)
    if root.exists() and not root.is_dir():
        raise UserError(f"{root}: a file; a run needs a folder")
    if root.exists() and {path.name for path in root.iterdir()} - LEFTOVERS:
        raise UserError(f"{root}: holds files but is not a run folder; name a new or empty one")
    return None


def check_no_result(path: Path) -> None:
    """Check that `path`, where something is to be written, is not among the results of a run, which would
    then be damaged. Raises UserError."""
    place = Path(os.path.realpath(path))
    for root in place.parents:
        if is_run(root) and place.relative_to(root).parts[0] == STEPS:
            raise UserError(f"{path}: belongs to the results of the run {root}; choose another place")


def create_folder(root: Path) -> None:
    """Make `root` a run folder if it is none."""
    if not is_run(root):
        write_json(root / RUN_FILE, {"format": RUN_FORMAT, "hat": __version__})


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold the run folder for this process. The kernel releases it when the process ends, in whatever way.

    Raises UserError naming the process that already holds it, if the folder cannot be made, and if the file
    system has no locks; DiskFull.
    """
    try:
        with Room(root):
            make_folder(root)
            descriptor = os.open(root / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise UserError(f"{root}: cannot work in this folder ({error.strerror}); choose another") from error
    try:
        try:
            lock(descriptor, root, wait=False)
        except BlockingIOError as error:
            owner = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            raise UserError(f"{root}: process {owner} is working in this run folder") from error
        os.ftruncate(descriptor, 0)
        with Room(root):
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
