"""A real SSH server on this machine for tests: OpenSSH's, or asyncssh's where that is not installed.

`python -m tests.hardware.ssh_server PORT HOST_KEY AUTHORIZED_KEYS` is the latter.
"""

import asyncio
import contextlib
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import asyncssh
import psutil

SSHD = shutil.which(
    "sshd", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
)
ROOT = Path(__file__).resolve().parents[2]
# Runs a command that may mount file systems for itself; as another user than root, where users may.
NAMESPACE = ("unshare", *(("--user", "--map-root-user") if os.getuid() else ()), "--mount")
CONFIGURATION = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
SetEnv {environment}
"""


class Server:
    """Listens when made, on a free port; `environment` is what its sessions find set. `quota`: the size
    of the file system at the sessions' TMPDIR, in bytes; needs NAMESPACE, and OpenSSH's needs root."""

    def __init__(self, folder: Path, environment: dict[str, str], quota: int | None = None) -> None:
        self.folder, self._environment, self._quota = folder, environment, quota
        folder.mkdir()
        self.new_host_key()
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(folder / "user_key")
        (folder / "user_key").chmod(0o600)
        user_key = asyncssh.read_private_key(folder / "user_key")
        user_key.write_public_key(folder / "authorized_keys")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.start()

    def new_host_key(self, kind: str = "ssh-ed25519") -> None:
        key = asyncssh.generate_private_key(kind)
        key.write_private_key(self.folder / "host_key")
        (self.folder / "host_key").chmod(0o600)
        self.host_key = key.export_public_key().decode().strip()

    def start(self) -> None:
        output = (self.folder / "log").open("ab")
        environment = os.environ | self._environment
        self._process = subprocess.Popen(
            self._command(), cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        output.close()
        for _ in range(400):
            assert self._process.poll() is None, (self.folder / "log").read_text()
            try:
                with socket.create_connection(("127.0.0.1", self.port)) as probe:
                    if probe.recv(4) == b"SSH-":
                        return
            except OSError:
                time.sleep(0.025)
        raise AssertionError("the SSH server does not listen")

    def kill(self) -> None:
        """As if the network broke: listener and connections end, what runs on the "device" does not."""
        if self._process.poll() is not None:
            return
        for process in self._suspended():
            process.kill()
        self._process.wait()

    @contextmanager
    def silence(self) -> Iterator[None]:
        """As if the network swallowed everything."""
        processes = self._suspended()
        yield
        for process in processes:
            process.resume()

    def _suspended(self) -> list[psutil.Process]:
        """Listener and connections, halted: the listener first, so that it has no more children."""
        listener = psutil.Process(self._process.pid)
        listener.suspend()
        connections = [one for one in listener.children(recursive=True) if one.name().startswith("sshd")]
        for process in connections:
            process.suspend()
        return [listener, *connections]

    def _command(self) -> list[str]:
        if self._quota is None:
            return self._listening()
        mount = f'mount -t tmpfs -o size={self._quota} none "$TMPDIR" && exec "$@"'
        return [*NAMESPACE, "sh", "-c", mount, "sh", *self._listening()]

    def _listening(self) -> list[str]:
        if SSHD is None or (self._quota is not None and os.getuid()):
            keys = [str(self.folder / name) for name in ("host_key", "authorized_keys")]
            return [sys.executable, "-m", "tests.hardware.ssh_server", str(self.port), *keys]
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # sshd insists; a service manager would make it
        configuration = self.folder / "sshd_config"
        environment = " ".join(f"{name}={value}" for name, value in self._environment.items())
        text = CONFIGURATION.format(port=self.port, folder=self.folder, environment=environment)
        configuration.write_text(text)
        return [SSHD, "-D", "-e", "-f", str(configuration)]


class _Files(asyncssh.SFTPServer):
    """asyncssh's own takes a write that filled the disk half-way for a whole one."""

    def write(self, file_obj: Any, offset: int, data: bytes) -> int:
        written = super().write(file_obj, offset, data)
        assert isinstance(written, int)
        if written < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written


async def _session(process: "asyncssh.SSHServerProcess[bytes]") -> None:
    """Run the command with sh. asyncssh's own redirection fails where a window is full."""
    pipe = asyncio.subprocess.PIPE
    command = await asyncio.create_subprocess_shell(
        process.command or "true", stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    )
    assert command.stdin
    assert command.stdout
    assert command.stderr
    process.signal_received = partial(_signal, command.pid)
    asking = asyncio.ensure_future(_pump(process.stdin, command.stdin))
    await asyncio.gather(_pump(command.stdout, process.stdout), _pump(command.stderr, process.stderr))
    status = await command.wait()
    asking.cancel()
    process.exit(status)


def _signal(group: int, name: str) -> None:
    """A signal of the client's, for the command and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, getattr(signal, f"SIG{name}"))


async def _pump(source: Any, sink: Any) -> None:
    """Carry bytes until either end closes; then both are, as by sshd."""
    with contextlib.suppress(asyncssh.Error, OSError):
        while chunk := await source.read(1 << 16):
            sink.write(chunk)
            await sink.drain()
    with contextlib.suppress(asyncssh.Error, OSError):
        sink.write_eof()
    if isinstance(source, asyncio.StreamReader):
        source._transport.close()


async def _listen(port: str, host_key: str, authorized_keys: str) -> None:
    await asyncssh.listen(
        "127.0.0.1",
        int(port),
        server_host_keys=[host_key],
        authorized_client_keys=authorized_keys,
        process_factory=_session,
        sftp_factory=_Files,
        encoding=None,
    )
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_listen(*sys.argv[1:]))
