"""A device over SSH that is this very machine, so that tests see its processes and files."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from hat.errors import HatError
from hat.hardware import Device
from hat.hardware.device.ssh.link import SshLink
from tests.hardware.ssh_server import Server

PRETEND = Path(__file__).with_name("pretend_agent.py")


class Rig:
    """A server and a device's disk. The device's Python has a pretended agent."""

    def __init__(self, folder: Path, quota: int | None = None) -> None:
        self.folder = folder / "there"
        for name in ("tmp", "cache"):
            (self.folder / name).mkdir(parents=True)
        places = {"TMPDIR": str(self.folder / "tmp"), "XDG_CACHE_HOME": str(self.folder / "cache")}
        # A login shell whose configuration prints something, where it is bash.
        places["BASH_ENV"] = str(self.folder / "greeting")
        (self.folder / "greeting").write_text("echo welcome\necho to the pi\n")
        self.server = Server(folder / "server", places, quota)
        self.known_hosts = folder / "known_hosts"
        self.accept_host_key()
        agent = f"exec {sys.executable} {PRETEND} {self.folder}"
        self.device = Device(
            "pi",
            f"ssh://127.0.0.1:{self.server.port}",
            key=self.server.folder / "user_key",
            known_hosts=self.known_hosts,
            python=self.program("python", f'[ "$*" = "-P -m hat.hardware.agent" ] && {agent}'),
        )

    def accept_host_key(self) -> None:
        self.known_hosts.write_text(f"[127.0.0.1]:{self.server.port} {self.server.host_key}\n")

    def program(self, name: str, body: str) -> str:
        """A Python on the device that does `body` first."""
        path = self.folder / name
        path.write_text(f'#!/bin/sh\n{body}\nexec {sys.executable} "$@"\n')
        path.chmod(0o755)
        return str(path)

    def processes(self) -> list[psutil.Process]:
        """The processes on the device."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess):  # ended meanwhile, or a zombie
                if str(self.folder) in " ".join(process.cmdline()) and not process.name().startswith("sshd"):
                    found.append(process)
        return found

    def left(self) -> list[object]:
        """Processes and temporary files on the device."""
        return [*self.processes(), *(self.folder / "tmp").iterdir()]

    def nothing_left(self) -> bool:
        return eventually(lambda: not self.left())

    def asking(self, link: SshLink) -> Callable[[], object]:
        """Start a request that takes long. The returned function waits for its end and gives answer or
        error."""
        endings: list[object] = []

        def ask() -> None:
            try:
                endings.append(link.ask({"op": "wait"}))
            except HatError as error:
                endings.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        assert eventually(lambda: any((self.folder / "tmp").glob("hat-*/busy")))

        def result() -> object:
            thread.join(20)
            return endings[0]

        return result


def eventually(condition: Callable[[], bool]) -> bool:
    """True if the condition comes true within ten seconds."""
    for _ in range(400):
        if condition():
            return True
        time.sleep(0.025)
    return False
