"""The process in which an engine was loaded, and what a process forked from it may do with it: nothing.

A forked process has one thread. The others, which computed or held a lock, stayed in the parent: whoever
waits for them waits for ever, and libraries that end them end the process or wait too.
"""

import ctypes
import os
import sys

from hat.errors import UserError

# Whether this process was forked from one that had loaded PyTorch, whose threads it then lacks.
_forked_after_torch = False


class ForkedError(UserError, RuntimeError):
    """A use of what was made before this process was forked. A RuntimeError too, as Python's own are that
    tell of forks and threads."""


class Origin:
    """Remembers the process that made something, for example "the translator", with its resources.

    In a process forked from that one, resources are never destroyed: it may take threads or locks that
    only the parent has. They end with the process.
    """

    def __init__(self, what: str, *resources: object) -> None:
        self._what, self._resources = what, resources
        self._process = os.getpid()

    @property
    def is_here(self) -> bool:
        """Whether this is that process."""
        return os.getpid() == self._process

    def check(self) -> None:
        """Raises ForkedError, a UserError, in another process. To be called before any lock is taken."""
        if not self.is_here:
            raise ForkedError(
                f"{self._what} was loaded before this process was forked, and its threads and locks "
                "stayed in the parent process: load the model in the child process"
            )

    def __del__(self) -> None:
        if not self.is_here:
            for resource in self._resources:
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(resource))


def forked_after_torch() -> bool:
    """Whether this process was forked from one that had loaded PyTorch: more than one of its threads would
    wait for those of the parent's."""
    return _forked_after_torch


def _note_fork() -> None:
    global _forked_after_torch  # noqa: PLW0603 (a fact about the process)
    _forked_after_torch = _forked_after_torch or "torch" in sys.modules


if hasattr(os, "register_at_fork"):  # where there is fork
    os.register_at_fork(after_in_child=_note_fork)
