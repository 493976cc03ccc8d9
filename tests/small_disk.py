"""A small disk to fill: a tmpfs, which only the superuser may mount."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def can_mount() -> bool:
    """True if this user may mount a small disk here."""
    with tempfile.TemporaryDirectory() as folder:
        mounted = _mount(Path(folder), 4096)
        if mounted:
            _unmount(Path(folder))
    return mounted


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of `size` bytes, mounted at the new folder `folder`. Skips where none can be mounted."""
    folder.mkdir()
    if not _mount(folder, size):
        pytest.skip("no small file system can be mounted here")
    try:
        yield folder
    finally:
        _unmount(folder)


def resize(folder: Path, size: int) -> None:
    """Give the disk at `folder` another size in bytes."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


def _mount(folder: Path, size: int) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
