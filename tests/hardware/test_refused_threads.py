"""Measuring where the system refuses threads: one line, and nothing left running."""

from collections.abc import Sequence
from pathlib import Path
from subprocess import Popen
from threading import Thread

import pytest

from hat.errors import HatError
from hat.hardware import Device
from hat.hardware.device import child as child_module
from hat.hardware.device.process import LocalLink
from hat.hardware.device.ssh.connection import Connection

TOLD = "the system lets this process start no more threads; allow it more memory or processes"


class Refusing:
    """A system that starts so many threads and no more."""

    def __init__(self, allowed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.allowed = allowed
        real = Thread.start

        def start(thread: Thread) -> None:
            if self.allowed <= 0:
                raise RuntimeError("can't start new thread")
            self.allowed -= 1
            real(thread)

        monkeypatch.setattr(Thread, "start", start)


@pytest.mark.parametrize("allowed", [0, 1])
def test_a_child_whose_pipes_nobody_reads_is_ended(monkeypatch: pytest.MonkeyPatch, allowed: int) -> None:
    started: list[Popen[bytes]] = []
    real = child_module.start_program

    def start_program(command: Sequence[str], folder: str) -> Popen[bytes]:
        started.append(real(command, folder))
        return started[-1]

    monkeypatch.setattr(child_module, "start_program", start_program)
    Refusing(allowed, monkeypatch)
    with pytest.raises(HatError, match=TOLD):
        LocalLink()
    (process,) = started
    assert process.returncode is not None
    assert not Path(f"/proc/{process.pid}").exists()


def test_a_request_that_no_thread_can_write_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalLink() as link:
        refusing = Refusing(0, monkeypatch)
        with pytest.raises(HatError, match=TOLD):
            link.ask({"op": "hello"})
        refusing.allowed = 100
        link.reopen()
        assert link.ask({"op": "hello"})


def test_a_connection_without_a_thread_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    Refusing(0, monkeypatch)
    with pytest.raises(HatError, match=TOLD):
        Connection(Device("pi", "ssh://127.0.0.1:1"))
