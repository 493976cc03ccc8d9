"""How long work tells how far it is: a callable that the command line renders with an ETA."""

from collections.abc import Callable

# Called as progress(done, total, note), `done` and `total` in any common unit.
Progress = Callable[[float, float, str], None]


def silent(done: float, total: float, note: str) -> None:
    """The Progress that shows nothing."""
