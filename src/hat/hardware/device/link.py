"""A link to an agent: a conversation of one request, one answer, in limited time."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from hat.errors import HatError, UserError, named, shown, visible
from hat.hardware.device.limits import ANSWER_SECONDS
from hat.strict_json import parse_json

# Arguments of Python that start the agent; -P keeps the current folder off the path of modules.
AGENT = ("-P", "-m", "hat.hardware.agent")


class LinkLost(HatError):
    """The agent died, or the connection to it did; `reopen` may help."""


class NoAnswer(LinkLost):
    """The agent did not answer in time: it is stopped, or hangs."""


class BadAnswer(HatError):
    """The agent's answer does not fit the request."""


class Link(Protocol):
    """A way to an agent. A transport implements these four methods."""

    def ask(self, request: Mapping[str, Any], seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """Send one request and wait at most `seconds` for its answer.

        Raises the error that the agent reports, LinkLost (NoAnswer after `seconds`, when the agent is ended),
        and BadAnswer for an answer that is no JSON mapping.
        """

    def put(self, folder: Path) -> str:
        """Copy a folder to the device: its path there, valid until the link is reopened or closed."""

    def reopen(self) -> None:
        """Start a fresh agent, with no model loaded, in place of a lost one. Raises HatError."""

    def close(self) -> None:
        """End the agent and remove the copied folders from the device."""


def parse_answer(line: str | bytes, agent: str) -> dict[str, Any]:
    """The answer in a line of output; `agent` is the agent's name in messages.

    Raises the error that the answer reports, UserError or HatError; BadAnswer for no JSON mapping.
    """
    try:
        answer = parse_json(line, "answer")
    except UserError as error:
        raise BadAnswer(f"{agent} did not answer in JSON ({error})") from error
    if not isinstance(answer, dict):
        raise BadAnswer(f"{agent} answered {shown(answer)}, not a mapping")
    if "error" in answer:
        if not isinstance(answer["error"], str):
            raise BadAnswer(f"{agent} answered with an error that is {shown(answer['error'])}")
        kind = UserError if answer.get("exit_code") == UserError.exit_code else HatError
        raise kind(visible(answer["error"]))
    return answer


def no_answer(agent: str, request: Mapping[str, Any], *, seconds: float, last_message: str) -> NoAnswer:
    """The error for an unanswered request. `last_message`: the last line of the agent's standard error."""
    last = f"; its last message is: {named(last_message)}" if last_message else ""
    return NoAnswer(
        f"{agent} does not answer: no reply to {shown(request.get('op'))} within {seconds:.0f} s{last}"
    )
