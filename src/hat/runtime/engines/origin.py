"""The process in which an engine was loaded. A process forked from it must not use the engine.

A forked process has one thread. The others, which computed or held a lock, exist only in the parent: waiting
for them never ends, and libraries that end them end the process or wait too.
"""

import ctypes
import os
import sys

from hat.errors import UserError

# True if this process was forked from one that had loaded PyTorch: PyTorch's threads are then missing.
_forked_after_torch = False


class ForkedError(UserError, RuntimeError):
    """The use of an object that was made before this process was forked. It is also a RuntimeError, like
    Python's own errors about forks and threads."""


class Origin:
    """Remembers the process in which an object, such as "the translator", and its resources were made.

    A process forked from that one never destroys the resources, since that may need threads or locks that
    only the parent has. They end with the process.
    """

    def __init__(self, name: str, *resources: object) -> None:
        self._name, self._resources = name, resources
        self._process = os.getpid()

    @property
    def is_here(self) -> bool:
        """True in the process that made the object."""
        return os.getpid() == self._process

    def check(self) -> None:
        """Raises ForkedError, a UserError, in any other process. To be called before any lock is taken."""
        if not self.is_here:
            raise ForkedError(
                f"{self._name} was loaded before this process was forked, and its threads and locks "
                "stayed in the parent process: load the model in the child process"
            )

    def __del__(self) -> None:
        if not self.is_here:
            for resource in self._resources:
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(resource))


def forked_after_torch() -> bool:
    """True if this process was forked from one that had loaded PyTorch: with more than one thread, PyTorch
    would wait for threads of the parent."""
    return _forked_after_torch


def _note_fork() -> None:
    global _forked_after_torch  # noqa: PLW0603 (a fact about the process)
    _forked_after_torch = _forked_after_torch or "torch" in sys.modules


if hasattr(os, "register_at_fork"):  # systems that can fork
    os.register_at_fork(after_in_child=_note_fork)
