"""Messages and progress of a run, for whoever shows them."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from threading import Event
from typing import Protocol

from hat.progress import Progress, silent


class Reporter(Protocol):
    """Shows the user how a run goes on."""

    def say(self, line: str) -> None:
        """Show a message."""

    def working(self, name: str) -> AbstractContextManager[Progress]:
        """Show the progress of a step while it is worked on."""


class Quiet:
    """The Reporter that shows nothing."""

    def say(self, line: str) -> None:
        """Nothing."""

    @contextmanager
    def working(self, name: str) -> Iterator[Progress]:
        """No progress."""
        yield silent


@dataclass(frozen=True)
class DeviceReporter:
    """A Reporter for one device among several. Its work stops, at its next progress, once `stop` is set."""

    reporter: Reporter
    device: str
    stop: Event

    def say(self, line: str) -> None:
        """Show a message under the device's name."""
        self.reporter.say(f"{self.device}: {line}")

    @contextmanager
    def working(self, name: str) -> Iterator[Progress]:
        """Show the progress of a step under the device's name."""

        def report(done: float, total: float, note: str) -> None:
            if self.stop.is_set():
                raise KeyboardInterrupt
            progress(done, total, note)

        with self.reporter.working(f"{self.device}: {name}") as progress:
            yield report
