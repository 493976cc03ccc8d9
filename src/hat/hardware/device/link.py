"""A conversation with an agent: one request, one answer, in limited time."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from hat.errors import HatError, UserError, named, shown, visible
from hat.hardware.device.child import LONGEST_LINE, Child
from hat.hardware.device.limits import ANSWER_SECONDS
from hat.strict_json import parse_json

# Arguments after `python -P`, which keeps the current folder off the path of modules.
COMMAND = ("-m", "hat.hardware.agent")
LOCAL = "the measuring process"


class LinkLost(HatError):
    """The agent died, or the connection to it did; `reopen` may help."""


class NoAnswer(LinkLost):
    """The agent did not answer in time: it is stopped, or hangs."""


class BadAnswer(HatError):
    """The agent's answer does not fit the request."""


class Link(Protocol):
    """What measuring needs of a way to a device."""

    def ask(self, request: Mapping[str, Any], seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """Send one request and wait at most `seconds` for its answer.

        Raises the error that the agent reports, LinkLost (NoAnswer after `seconds`, when the agent is ended),
        and BadAnswer for an answer that is no JSON mapping.
        """

    def put(self, folder: Path) -> str:
        """Where a copy of the folder is on the device, until the link is reopened or closed."""

    def reopen(self) -> None:
        """Start a fresh agent in place of a lost one: nothing is loaded in it. Raises HatError."""

    def close(self) -> None:
        """End the agent and remove what was left on the device."""


def parse_answer(line: str | bytes, where: str = LOCAL) -> dict[str, Any]:
    """An agent's answer. Raises the error that it reports, UserError or HatError; BadAnswer for no JSON
    mapping.

    `where`: the name of the agent in messages.
    """
    try:
        found = parse_json(line, "answer")
    except UserError as error:
        raise BadAnswer(f"{where} did not answer in JSON ({error})") from error
    if not isinstance(found, dict):
        raise BadAnswer(f"{where} answered {shown(found)}, not a mapping")
    if "error" in found:
        if not isinstance(found["error"], str):
            raise BadAnswer(f"{where} answered with an error that is {shown(found['error'])}")
        kind = UserError if found.get("exit_code") == UserError.exit_code else HatError
        raise kind(visible(found["error"]))
    return found


def no_answer(where: str, request: Mapping[str, Any], seconds: float, said: str) -> NoAnswer:
    """The error for an unanswered `request`. `said`: the last line of the agent's standard error."""
    last = f"; its last message is: {named(said)}" if said else ""
    return NoAnswer(
        f"{where} does not answer: no reply to {shown(request.get('op'))} within {seconds:.0f} s{last}"
    )


class LocalLink:
    """An agent in a process of its own on this machine: nothing else is in its memory."""

    def __init__(self) -> None:
        self.reopen()

    def reopen(self) -> None:
        if hasattr(self, "_child"):
            self.close()
        self._child = Child(*COMMAND)
        self._process = self._child.process

    def ask(self, request: Mapping[str, Any], seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """As Link.ask. Interrupting it loses the link, since its answer may still come."""
        if self._child.ended:
            raise LinkLost(f"{LOCAL} has ended")
        try:
            line = self._child.ask(json.dumps(request).encode() + b"\n", seconds)
        except BaseException as error:
            self.close()
            if isinstance(error, TimeoutError):
                raise no_answer(LOCAL, request, seconds, self._child.said()) from None
            raise
        if line.endswith(b"\n"):
            return parse_answer(line)
        if len(line) > LONGEST_LINE:
            self.close()
            raise BadAnswer(f"{LOCAL} answered more than {LONGEST_LINE:,} bytes")
        words = self._child.last_words()
        self.close()
        raise LinkLost(f"{LOCAL} died: {words}")

    def put(self, folder: Path) -> str:
        return str(folder.resolve())

    def close(self) -> None:
        self._child.end()

    def __enter__(self) -> "LocalLink":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
