"""How long work tells how far it is: a callable that the command line renders with an ETA."""

from collections.abc import Callable

# Called as progress(done, total, note), `done` and `total` in any common unit.
Progress = Callable[[float, float, str], None]


def silent(done: float, total: float, note: str) -> None:
    """The Progress that shows nothing."""


def between(progress: Progress, start: float, end: float, prefix: str = "") -> Progress:
    """The Progress of a part: shown as the stretch from `start` to `end` of a whole of 1."""

    def part(done: float, total: float, note: str) -> None:
        progress(start + (end - start) * done / max(total, 1), 1, prefix + note)

    return part
