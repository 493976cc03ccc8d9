"""The closing of an object that several threads may be using."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from hat.errors import UserError
from hat.runtime.engines import Origin


class Gate:
    """Lets callers use an object until it is closed; closing waits for running uses to end."""

    def __init__(self, name: str) -> None:
        """`name`: that of the guarded object in messages, for example "the translator"."""
        self._name, self._origin = name, Origin(name)
        self._inside, self._closed = 0, False
        self._changed = Condition()

    def check(self) -> None:
        """Raises UserError if the gate is closed, or if this process was forked after the gate was made."""
        self._origin.check()
        if self._closed:
            raise UserError(f"{self._name} is closed and cannot be used any more")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Context for one use. Raises UserError like `check`."""
        self._origin.check()  # before the lock, which a thread of the parent process may hold for ever
        with self._changed:
            self.check()
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def close(self) -> bool:
        """Let no further use in, and wait until all have ended. False if there is nothing to close: the gate
        is closed already, or this process is forked."""
        if not self._origin.is_here:
            return False
        with self._changed:
            first, self._closed = not self._closed, True
            self._changed.wait_for(lambda: not self._inside)
            return first
