"""The progress of long work: a callable that the command line renders with an ETA."""

from collections.abc import Callable

# Called as progress(done, total, note), `done` and `total` in any common unit.
Progress = Callable[[float, float, str], None]


def silent(done: float, total: float, note: str) -> None:
    """A Progress that shows nothing."""


def between(progress: Progress, start: float, end: float, prefix: str = "") -> Progress:
    """The Progress of a part of some work, shown as the share from `start` to `end` of all."""

    def part(done: float, total: float, note: str) -> None:
        progress(start + (end - start) * done / max(total, 1), 1, prefix + note)

    return part
