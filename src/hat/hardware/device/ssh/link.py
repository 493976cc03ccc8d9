"""An agent on a device over SSH: it survives lost connections and leaves nothing behind."""

import json
import re
import secrets
import shlex
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from hat.errors import HatError, named
from hat.hardware.device.devices import Device
from hat.hardware.device.limits import ANSWER_SECONDS
from hat.hardware.device.link import COMMAND, LinkLost, NoAnswer, no_answer, parse_answer
from hat.hardware.device.ssh.connection import Connection, Program, last_line
from hat.hardware.device.ssh.errors import KeyRefused, Unreachable
from hat.hardware.device.ssh.installation import check_installed, interpreter

# A small computer boots in one or two minutes.
REOPEN_SECONDS = 600.0
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
CLEAN_SECONDS = 15.0
KILLED = 128 + 9
# While a device boots, its server may be there already but not let users in yet.
PASSING = (LinkLost, Unreachable, KeyRefused)

# One line, for a quoting that all login shells know. The shell waits beside the agent and removes the
# session's folder when it ends: also where this machine is switched off, and its input just stops.
# {token} makes the folder unique and identifies the processes. The folder is empty, so that Python imports
# nothing from it. A stopped agent ends only by signal 9.
SESSION = (
    'umask 077; d="${{TMPDIR:-/tmp}}"/hat-{token}; mkdir "$d" || exit 73; '
    "trap 'kill -9 $p 2>/dev/null; rm -rf \"$d\"' EXIT; trap 'exit 143' HUP INT TERM; "
    'cd "$d" || exit 73; exec 3<&0; echo {token} $$ "$d"; '
    "PYTHONSAFEPATH=1 {python} -P {command} <&3 & p=$!; exec 3<&- </dev/null; wait $p"
)
# The session's shell is asked to end, which ends the agent; after a reboot its number may be another's.
CLEAN = """
known() {{ {{ cat /proc/{pid}/cmdline || ps -p {pid} -o args=; }} 2>/dev/null | grep -q {token}; }}
if known; then
    kill {pid}; kill -s CONT {pid}
    for tenth in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do known || break; sleep 0.1; done
    known && {{ kill -s KILL -- -{pid} || kill -s KILL {pid}; }} 2>/dev/null
fi
rm -rf {folder}
"""


class SshLink:
    """A Link to `device`, open when made; closed at the end of its `with` block.

    `note` is told what goes on while reconnecting. Raises UserError where the device refuses the key,
    has another host key or not this version of HAT, HatError where it cannot be reached.
    """

    def __init__(self, device: Device, note: Callable[[str], None] = lambda line: None) -> None:
        self.device = device
        self._note = note
        self._connection: Connection | None = None
        self._process: Program | None = None
        self._left: tuple[str, str, str] | None = None  # token, process and folder of the last session
        self._copied = 0
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def ask(self, request: Mapping[str, Any], seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """As Link has it. An interrupted question leaves the link lost: its answer may still come."""
        where = f"device {self.device.name}"
        if self._process is None or self._connection is None:
            raise LinkLost(f"{where}: there is no connection")
        process, self._process = self._process, None
        try:
            line = self._connection.wait(process.ask(json.dumps(request)), seconds)
        except NoAnswer:
            self._try_to_clean()
            raise no_answer(where, request, seconds, last_line(process.said)) from None
        if not line.endswith("\n"):
            raise LinkLost(f"{where}: {self._last_words(process)}")
        self._process = process
        return parse_answer(line, where)

    def put(self, source: Path) -> str:
        """Copy a file or folder into the session's folder; its path there, valid until the link is
        lost or closed. Raises HatError where the device cannot hold it."""
        if self._connection is None or self._left is None:
            raise LinkLost(f"device {self.device.name}: there is no connection")
        self._copied += 1
        target = f"{self._left[2]}/{self._copied}"
        self._connection.put(source, target)
        return target

    def reopen(self) -> None:
        """Start a fresh agent, in a new session; what the last one left on the device is removed.

        Tries again for REOPEN_SECONDS, then raises the last HatError; at once what waiting cannot mend.
        """
        started, wait = time.monotonic(), FIRST_WAIT
        while True:
            self._disconnect()
            try:
                return self._open()
            except PASSING as error:
                left = started + REOPEN_SECONDS - time.monotonic()
                if left < wait:
                    raise
                self._note(f"{error}; trying again in {wait:.0f} s, for {left / 60:.0f} more minutes")
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
            token=token, python=interpreter(self.device), command=" ".join(map(shlex.quote, COMMAND))
        )
        process = self._connection.start(script)
        found = self._connection.wait(_session(process, token))
        if found is None:
            raise HatError(f"device {self.device.name}: {self._last_words(process)}")
        self._left, self._process = (token, *found), process

    def _try_to_clean(self) -> None:
        """Clean up if the device can be reached; otherwise its session ends and cleans up once it notices."""
        with suppress(HatError):
            self._clean()

    def _clean(self) -> None:
        """End the last session, if any, and remove its folder."""
        if self._left and self._connection and not self._connection.lost:
            token, pid, folder = self._left
            script = CLEAN.format(token=token, pid=pid, folder=shlex.quote(folder))
            self._connection.run(script, CLEAN_SECONDS)
            self._left = None

    def _disconnect(self) -> None:
        self._process = None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _last_words(self, process: Program) -> str:
        """Why the agent's output ended."""
        assert self._connection is not None
        said, status = self._connection.wait(process.ending(), CLEAN_SECONDS)
        if status is None:
            return f"the connection to {self.device.address} was lost"
        if status == KILLED:
            return "the agent there was killed, as it happens where memory is full"
        return f"the agent there ended: {named(said or f'exit status {status}')}"

    def __enter__(self) -> "SshLink":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


async def _session(process: Program, token: str) -> tuple[str, str] | None:
    """The process id of the session's shell, and its folder; output of a login shell before is skipped. None
    if the session has ended."""
    while line := await process.line():
        if found := re.fullmatch(rf"{token} ([0-9]+) (/[^\n]*/hat-{token})\n", line):
            return found[1], found[2]
    return None
