"""The link to a device over SSH: it survives lost connections and leaves nothing behind."""

import json
import re
import secrets
import shlex
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from hat.errors import HatError, named
from hat.hardware.device.child import last_line
from hat.hardware.device.device import Device
from hat.hardware.device.limits import ANSWER_SECONDS
from hat.hardware.device.link import AGENT, LinkLost, NoAnswer, no_answer, parse_answer
from hat.hardware.device.ssh.connection import Connection, Program
from hat.hardware.device.ssh.errors import KeyRefused, Unreachable
from hat.hardware.device.ssh.installation import check_installed, interpreter

# A small computer boots in one or two minutes.
REOPEN_SECONDS = 600.0
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
CLEAN_SECONDS = 15.0
KILLED = 128 + 9
# Errors that may pass: while a device boots, its server may run already but refuse users.
PASSING = (LinkLost, Unreachable, KeyRefused)

# The script that starts the agent; in one line, which all login shells can quote. The shell waits beside the
# agent and removes the session's folder when the agent ends, also when this machine is switched off and the
# input just stops. {token} makes the folder unique and identifies the processes. The folder is empty, so that
# Python imports nothing from it. Only signal 9 ends an agent that was stopped.
SESSION = (
    'umask 077; d="${{TMPDIR:-/tmp}}"/hat-{token}; mkdir "$d" || exit 73; '
    "trap 'kill -9 $p 2>/dev/null; rm -rf \"$d\"' EXIT; trap 'exit 143' HUP INT TERM; "
    'cd "$d" || exit 73; exec 3<&0; echo {token} $$ "$d"; '
    "PYTHONSAFEPATH=1 {python} {agent} <&3 & p=$!; exec 3<&- </dev/null; wait $p"
)
# The script that ends a session: it asks the session's shell to end, which ends the agent. {token} tells
# whether process {pid} still is that shell: after a reboot another process may have its number.
CLEAN = """
known() {{ {{ cat /proc/{pid}/cmdline || ps -p {pid} -o args=; }} 2>/dev/null | grep -q {token}; }}
if known; then
    kill {pid}; kill -s CONT {pid}
    for tenth in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do known || break; sleep 0.1; done
    known && {{ kill -s KILL -- -{pid} || kill -s KILL {pid}; }} 2>/dev/null
fi
rm -rf {folder}
"""


class SshLink(AbstractContextManager["SshLink"]):
    """A Link to `device`, open when made; closed at the end of its `with` block.

    `note` shows the user a line about each attempt to reconnect. Raises UserError where the device refuses
    the key, or has another host key or another version of HAT, HatError where it cannot be reached.
    """

    def __init__(self, device: Device, note: Callable[[str], None] = lambda line: None) -> None:
        self.device = device
        self._note = note
        self._connection: Connection | None = None
        self._process: Program | None = None
        self._session: tuple[str, str, str] | None = None  # token, process id and folder of the last one
        self._copied = 0
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def ask(self, request: Mapping[str, Any], seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """As Link.ask. Interrupting it loses the link, since its answer may still come."""
        where = self.device.label
        if self._process is None or self._connection is None:
            raise LinkLost(f"{where}: there is no connection")
        process, self._process = self._process, None
        try:
            line = self._connection.wait(process.ask(json.dumps(request)), seconds)
        except NoAnswer:
            self._try_to_clean()
            raise no_answer(where, request, seconds=seconds, last_message=last_line(process.errors)) from None
        if not line.endswith("\n"):
            raise LinkLost(f"{where}: {self._last_words(process)}")
        self._process = process
        return parse_answer(line, where)

    def put(self, source: Path) -> str:
        """Copy a file or folder into the session's folder; its path there, valid until the link is lost or
        closed.

        Raises HatError where the device has no room for it.
        """
        if self._connection is None or self._session is None:
            raise LinkLost(f"{self.device.label}: there is no connection")
        self._copied += 1
        target = f"{self._session[2]}/{self._copied}"
        self._connection.put(source, target)
        return target

    def reopen(self) -> None:
        """Start a fresh agent in a new session, and remove the rest of the last one from the device.

        Connecting is tried for REOPEN_SECONDS; then the last HatError is raised. Errors that waiting cannot
        mend are raised at once.
        """
        started, wait = time.monotonic(), FIRST_WAIT
        while True:
            self._disconnect()
            try:
                return self._open()
            except PASSING as error:
                remaining = started + REOPEN_SECONDS - time.monotonic()
                if remaining < wait:
                    raise
                self._note(f"{error}; trying again in {wait:.0f} s, for {remaining / 60:.0f} more minutes")
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def close(self) -> None:
        """End the agent, remove the session's folder and disconnect."""
        try:
            self._try_to_clean()
        finally:
            self._disconnect()

    def _open(self) -> None:
        self._connection = Connection(self.device)
        self._clean()
        check_installed(self._connection)
        token = secrets.token_hex(16)
        script = SESSION.format(
            token=token, python=interpreter(self.device), agent=" ".join(map(shlex.quote, AGENT))
        )
        process = self._connection.start(script)
        started = self._connection.wait(_started(process, token))
        if started is None:
            raise HatError(f"{self.device.label}: {self._last_words(process)}")
        self._session, self._process = (token, *started), process

    def _try_to_clean(self) -> None:
        """Clean up if the device can be reached; otherwise its session does so once it notices the loss."""
        with suppress(HatError):
            self._clean()

    def _clean(self) -> None:
        """End the last session, if any, and remove its folder."""
        if self._session and self._connection and not self._connection.lost:
            token, pid, folder = self._session
            script = CLEAN.format(token=token, pid=pid, folder=shlex.quote(folder))
            self._connection.run(script, CLEAN_SECONDS)
            self._session = None

    def _disconnect(self) -> None:
        self._process = None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _last_words(self, process: Program) -> str:
        """The reason for the end of the agent's output."""
        assert self._connection is not None
        last_message, status = self._connection.wait(process.ending(), CLEAN_SECONDS)
        if status is None:
            return f"the connection to {self.device.address} was lost"
        if status == KILLED:
            return "the agent there was killed, which the system does when memory is full"
        return f"the agent there ended: {named(last_message or f'exit status {status}')}"

    def __exit__(self, *error: object) -> None:
        self.close()


async def _started(process: Program, token: str) -> tuple[str, str] | None:
    """The process id of a new session's shell, and its folder; None if the session has ended.

    Output that a login shell prints before is skipped.
    """
    while line := await process.line():
        if match := re.fullmatch(rf"{token} ([0-9]+) (/[^\n]*/hat-{token})\n", line):
            return match[1], match[2]
    return None
