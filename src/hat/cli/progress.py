"""Progress on a terminal as bars with an ETA; elsewhere as a plain line every few seconds."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, TextIO

from hat.errors import readable, visible
from hat.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars

LINE_EVERY_SECONDS = 10.0


class Terminal:
    """The Reporter of the command line. It writes to standard error; results go to standard output."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        # Steps on several devices run at once and share one block of bars.
        self._bars: Bars | None = None
        self._working = 0
        self._lock = Lock()

    def say(self, line: str) -> None:
        """Print a message; control characters in it, from a file or device, are escaped."""
        print(readable(line), file=self._stream, flush=True)

    @contextmanager
    def working(self, name: str) -> Iterator[Progress]:
        """Show a step's progress, and at its end the time that it took."""
        started = time.monotonic()
        from rich.console import Console

        console = Console(file=self._stream, highlight=False)
        if console.is_terminal:
            with self._shared_bars(console) as bars:
                yield _Bar(bars, name)
        else:
            yield _Lines(self, name, started)
        self.say(f"{name}: done in {duration(time.monotonic() - started)}")

    @contextmanager
    def _shared_bars(self, console: "Console") -> Iterator["Bars"]:
        with self._lock:
            if self._bars is None:
                self._bars = _bars(console)
                self._bars.start()
            self._working += 1
            bars = self._bars
        try:
            yield bars
        finally:
            with self._lock:
                self._working -= 1
                if not self._working:
                    bars.stop()
                    self._bars = None


class _Bar:
    """Progress as a bar."""

    def __init__(self, bars: "Bars", name: str) -> None:
        self._bars = bars
        self._task = bars.add_task(visible(name), total=None, note="")

    def __call__(self, done: float, total: float, note: str) -> None:
        self._bars.update(self._task, completed=done, total=total, note=visible(note))


class _Lines:
    """Progress as lines. The ETA counts from the first report: that of a resumed step is far from zero."""

    def __init__(self, terminal: Terminal, name: str, started: float) -> None:
        self._terminal = terminal
        self._name = name
        self._first: tuple[float, float] | None = None
        self._printed = started

    def __call__(self, done: float, total: float, note: str) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = (now, done)
        if now - self._printed < LINE_EVERY_SECONDS:
            return
        self._printed = now
        began, first_done = self._first
        share, eta = f"{done / total:4.0%}" if total else "", ""
        if done > first_done:
            eta = f"  ETA {duration((total - done) * (now - began) / (done - first_done))}"
        self._terminal.say(f"{self._name}: {share}{eta}  {note}".rstrip())


def _bars(console: "Console") -> "Bars":
    from rich import progress

    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(bar_width=None),
        progress.TaskProgressColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("ETA"),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[note]}", markup=False),
        console=console,
        transient=True,
        refresh_per_second=4,
        speed_estimate_period=60,
    )


def duration(seconds: float) -> str:
    """`1:02:03`, `2:03` or `3.4 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
