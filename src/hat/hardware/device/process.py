"""Links whose agent talks through the pipes of a process on this machine."""

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from hat.hardware.device.child import LONGEST_LINE, Child
from hat.hardware.device.limits import ANSWER_SECONDS
from hat.hardware.device.link import AGENT, BadAnswer, LinkLost, no_answer, parse_answer


class ProcessLink(AbstractContextManager["ProcessLink"]):
    """A Link to the agent that `command` starts, open when made; closed at the end of its `with` block.

    The command may run the agent here, or pass its own input and output on to an agent elsewhere. `agent` is
    the agent's name in messages.
    """

    def __init__(self, command: Sequence[str], agent: str) -> None:
        self._command, self._agent = command, agent
        self._child = Child(command)

    def reopen(self) -> None:
        self.close()
        self._child = Child(self._command)

    def ask(self, request: Mapping[str, Any], seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """As Link.ask. Interrupting it loses the link, since its answer may still come."""
        if self._child.ended:
            raise LinkLost(f"{self._agent} has ended")
        try:
            line = self._child.ask(json.dumps(request).encode() + b"\n", seconds)
        except BaseException as error:
            self.close()
            if isinstance(error, TimeoutError):
                last_message = self._child.last_message()
                raise no_answer(self._agent, request, seconds=seconds, last_message=last_message) from None
            raise
        if line.endswith(b"\n"):
            return parse_answer(line, self._agent)
        if len(line) > LONGEST_LINE:
            self.close()
            raise BadAnswer(f"{self._agent} answered more than {LONGEST_LINE:,} bytes")
        words = self._child.last_words()
        self.close()
        raise LinkLost(f"{self._agent} died: {words}")

    def put(self, folder: Path) -> str:
        """The folder itself: the agent reads the files of this machine."""
        return str(folder.resolve())

    def close(self) -> None:
        self._child.end()

    def __exit__(self, *error: object) -> None:
        self.close()


class LocalLink(ProcessLink):
    """A Link to an agent in a process of its own on this machine: nothing else is in its memory."""

    def __init__(self) -> None:
        super().__init__((sys.executable, *AGENT), "the measuring process")
