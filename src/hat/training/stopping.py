"""Stopping a training from outside without losing the update under way."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from hat.errors import HatError


class Stopped(HatError):
    """A signal asked to stop; a checkpoint has been written. Exit code as shells give: 128 + signal."""

    def __init__(self, number: int) -> None:
        super().__init__("stopped after writing a checkpoint; the same command goes on from here")
        self.exit_code = 128 + number


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGINT instead of dying of them, so that the update under way can finish."""
    requests: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        requests.append(number)

    try:
        previous = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not the main thread: signals are someone else's business
        previous = {}
    try:
        yield requests
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
