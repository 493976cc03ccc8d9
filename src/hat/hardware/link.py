"""A conversation with an agent: one request, one answer."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from hat.errors import HatError, UserError

COMMAND = ("-m", "hat.hardware.agent")


class LinkLost(HatError):
    """The agent died, or the connection to it did; `reopen` may help."""


class Link(Protocol):
    """What measuring needs of a way to a device."""

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send one request and wait for its answer. Raises what the agent raised, and LinkLost."""

    def put(self, folder: Path) -> str:
        """Where a copy of the folder is on the device, until the link is reopened or closed."""

    def reopen(self) -> None:
        """Start a fresh agent in place of a lost one: nothing is loaded in it. Raises HatError."""

    def close(self) -> None:
        """End the agent and remove what was left on the device."""


def parse_answer(line: str | bytes) -> dict[str, Any]:
    """An agent's answer. Raises what it reports: UserError or HatError; LinkLost for half a line."""
    try:
        found: dict[str, Any] = json.loads(line)
    except ValueError as error:
        raise LinkLost("the measuring agent answered something that is not JSON") from error
    if "error" in found:
        raise (UserError if found.get("exit_code") == UserError.exit_code else HatError)(found["error"])
    return found


class LocalLink:
    """An agent in a process of its own on this machine: nothing else is in its memory."""

    def __init__(self) -> None:
        self.reopen()

    def reopen(self) -> None:
        if hasattr(self, "_process"):
            self.close()
        self._process = subprocess.Popen(
            [sys.executable, *COMMAND], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = b""
        if not line.endswith(b"\n"):
            raise LinkLost(f"the measuring process died: {self._last_words()}")
        return parse_answer(line)

    def put(self, folder: Path) -> str:
        return str(folder.resolve())

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            try:
                if stream:
                    stream.close()
            except OSError:
                pass
        self._process.kill()
        self._process.wait()

    def _last_words(self) -> str:
        """The last line of what the process said before it died."""
        assert self._process.stderr
        code = self._process.wait()
        lines = self._process.stderr.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit code {code}"

    def __enter__(self) -> "LocalLink":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
