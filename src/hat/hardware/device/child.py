"""A child process on this machine that answers each line of input with a line of output."""

import os
import queue
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import IO

from hat.errors import visible
from hat.threads import start

CHUNK = 1 << 16
# The most bytes of an answer, and of the end of standard error that is kept.
LONGEST_LINE, TAIL = 1 << 20, 1 << 13
# The longest wait for a killed process to end, and for the readers of its pipes.
END_SECONDS = 5.0


def start_program(command: Sequence[str], folder: str) -> subprocess.Popen[bytes]:
    """Start a program in the empty `folder`.

    Every agent on this machine is started here. The program leads a process group, so that the processes
    it starts end with it.
    """
    return subprocess.Popen(
        command,
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=_environment(),
        start_new_session=True,
    )


def _environment() -> dict[str, str]:
    """This process's environment, changed so that a Python does not import modules from its folder."""
    environment = os.environ | {"PYTHONSAFEPATH": "1"}
    if "PYTHONPATH" in environment:
        folders = filter(None, environment["PYTHONPATH"].split(os.pathsep))
        environment["PYTHONPATH"] = os.pathsep.join(str(Path(folder).absolute()) for folder in folders)
    return environment


class Child:
    """The process, its pipes, and threads that empty them at all times."""

    def __init__(self, command: Sequence[str]) -> None:
        self._folder = TemporaryDirectory(prefix="hat-", ignore_cleanup_errors=True)  # of mode 0700
        self.process = start_program(command, self._folder.name)
        assert self.process.stdout
        assert self.process.stderr
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._errors = b""  # the end of standard error so far
        self.ended = False
        self._readers = [
            Thread(target=self._read, args=(self.process.stdout,), daemon=True),
            Thread(target=self._drain, args=(self.process.stderr,), daemon=True),
        ]
        try:
            for reader in self._readers:
                start(reader)
        except BaseException:
            self.process.kill()
            self.process.wait()
            self._folder.cleanup()
            raise

    def ask(self, line: bytes, seconds: float) -> bytes:
        """The line that answers `line`; without a line end if the process has ended.

        A line that came before the request counts as its answer: the caller checks it. A line longer
        than LONGEST_LINE comes without its end. Raises TimeoutError after `seconds`.
        """
        # In a thread: writing waits for as long as the process does not read.
        start(Thread(target=self._write, args=(line,), daemon=True))
        try:
            return self._lines.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError from None

    def end(self) -> int | None:
        """Kill the process and the processes that it started; its exit code, None if it does not end."""
        self.ended = True
        with suppress(OSError):
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
        code = self._exit_code()
        for reader in self._readers:
            reader.join(END_SECONDS)
        if not any(reader.is_alive() for reader in self._readers):
            for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
                assert stream
                stream.close()
        self._folder.cleanup()
        return code

    def last_words(self) -> str:
        """The last line of standard error, or else the exit code, of a process whose output has ended."""
        code = self._exit_code()
        self._readers[1].join(END_SECONDS)
        return self.last_message() or f"exit code {code}"

    def last_message(self) -> str:
        """The last line of standard error so far; "" if there is none."""
        return last_line(self._errors.decode(errors="replace"))

    def _exit_code(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            return self.process.wait(END_SECONDS)
        return None

    def _write(self, line: bytes) -> None:
        assert self.process.stdin
        unwritten = memoryview(line)
        with suppress(OSError, ValueError):  # the process has ended; its output tells why
            while unwritten:
                unwritten = unwritten[self.process.stdin.write(unwritten) or 0 :]

    def _read(self, stream: IO[bytes]) -> None:
        """Put each line into the queue, and at the end the text after the last newline."""
        rest = b""
        while len(rest) <= LONGEST_LINE and (chunk := _received(stream)):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._lines.put(line + b"\n")
            if self._lines.qsize() > 1:  # more answers than requests: a flood must not fill the memory
                break
        self._lines.put(rest)

    def _drain(self, stream: IO[bytes]) -> None:
        while chunk := _received(stream):
            self._errors = (self._errors + chunk)[-TAIL:]


def last_line(text: str) -> str:
    """The last line that is not blank, safe to print; "" if there is none."""
    lines = (line.strip() for line in reversed(text.split("\n")))
    return next((visible(line) for line in lines if line), "")


def _received(stream: IO[bytes]) -> bytes:
    """The bytes that have arrived; b"" at the end."""
    try:
        return stream.read(CHUNK)
    except (OSError, ValueError):
        return b""
