"""Reading an iterable ahead in a thread, so that lines of a slow one are used as soon as they come."""

from collections.abc import Iterable
from threading import Condition, Thread

from hat.runtime.engines import Origin
from hat.threads import start

# Seconds to wait for more lines after the first: a file fills its window in less time, so that windows do not
# depend on the scheduling of threads, and a user who types does not notice.
LINGER = 0.01
_END = object()


class ReadAhead:
    """Reads lines in another thread; at most `limit` of them are read but not yet `done`.

    The thread ends with the lines or with an error in reading them; after `stop`, as soon as the iterable
    gives its next line, which is dropped. Raises HatError if the system refuses the thread.
    """

    def __init__(self, lines: Iterable[str], limit: int) -> None:
        self._limit, self._held = limit, 0
        self._origin = Origin("the stream of translations")
        self._lines: list[str] = []
        self._ended = self._stopped = False
        self._error: BaseException | None = None
        self._changed = Condition()
        # A daemon: one that waits for a line that never comes must not keep the process alive.
        start(Thread(target=self._read, args=(lines,), name="hat-read-ahead", daemon=True))

    def take(self) -> list[str]:
        """The lines that have been read, at least one; none at the end. Raises an error of the iterable once
        the lines before it are taken; UserError in a forked process, which lacks the thread."""
        self._origin.check()
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._ended)
            self._changed.wait_for(lambda: len(self._lines) >= self._limit or self._ended, LINGER)
            taken, self._lines = self._lines, []
            if not taken and self._error is not None:
                raise self._error
            return taken

    def done(self) -> None:
        """Report one taken line as finished, which makes room for another. Raises UserError like `take`."""
        self._origin.check()
        with self._changed:
            self._held -= 1
            self._changed.notify_all()

    def stop(self) -> None:
        """Read no more."""
        if not self._origin.is_here:
            return
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _read(self, lines: Iterable[str]) -> None:
        error = None
        try:
            stream = iter(lines)
            while self._reserve() and (line := next(stream, _END)) is not _END:
                with self._changed:
                    self._lines.append(line)  # type: ignore[arg-type]
                    self._changed.notify_all()
        except BaseException as raised:  # raised again in the thread that takes the lines
            error = raised
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def _reserve(self) -> bool:
        """Wait until there is room for a line. False after `stop`."""
        with self._changed:
            self._changed.wait_for(lambda: self._held < self._limit or self._stopped)
            self._held += 1
            return not self._stopped
