"""A synchronous interface to one asyncssh connection, whose event loop runs in a thread of its own."""

import asyncio
import re
import secrets
import shlex
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import asyncssh

from hat.errors import HatError, UserError
from hat.hardware.device.child import CHUNK, LONGEST_LINE, TAIL, last_line
from hat.hardware.device.device import Device
from hat.hardware.device.limits import START_SECONDS, copy_seconds, folder_bytes
from hat.hardware.device.link import BadAnswer, NoAnswer
from hat.hardware.device.ssh import errors
from hat.hardware.device.ssh.address import DEFAULT_PORT
from hat.threads import start

CONNECT_SECONDS = 15.0
LOGIN_SECONDS = 30.0
# A device that misses three keep-alive messages counts as lost. They are too rare to disturb measurements.
KEEPALIVE_SECONDS = 15.0
# Kinds of host keys to ask for after the known kinds, so that a changed key is noticed also if it is of
# another kind; asyncssh alone would then not connect.
HOST_KEY_KINDS = (
    *("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    *("rsa-sha2-512", "rsa-sha2-256"),
)
# Options of every program there: no terminal, whatever ~/.ssh/config says.
PLAIN: Any = {"request_pty": False, "encoding": "utf-8", "errors": "replace"}

Result = TypeVar("Result")


@dataclass(frozen=True)
class Finished:
    """The exit status of a script (below 0: killed by a signal) and its output."""

    status: int
    out: str
    err: str

    def last_words(self) -> str:
        """The last line of standard error, or else the exit status."""
        return last_line(self.err) or f"exit status {self.status}"


class Program:
    """A running program on the device. It is constructed in the thread of the event loop."""

    def __init__(self, process: "asyncssh.SSHClientProcess[str]", where: str) -> None:
        """`where`: the name of the device in messages."""
        self._process, self._where = process, where
        self.errors = ""  # the end of its standard error so far
        self._drained = asyncio.ensure_future(self._drain())

    async def _drain(self) -> None:
        """Read standard error at all times: a program stops when the window of unread output is full."""
        try:
            while text := await self._process.stderr.read(CHUNK):
                self.errors = (self.errors + text)[-TAIL:]
        except (asyncssh.Error, OSError):  # a lost connection, which the wait for an answer reports
            pass

    async def ask(self, line: str) -> str:
        """Send a line; the program's next line of output, without a line end if the program has ended.

        Raises HatError for an endless line.
        """
        try:
            self._process.stdin.write(line + "\n")
        except BrokenPipeError:
            return ""
        return await self.line()

    async def line(self) -> str:
        """The program's next line of output, as `ask` returns it."""
        text = ""
        while not text.endswith("\n") and (more := await self._process.stdout.readline()):
            text += more
            if len(text) > LONGEST_LINE:
                raise BadAnswer(f"{self._where} printed more than {LONGEST_LINE:,} characters in a line")
        return text

    async def ending(self) -> tuple[str, int | None]:
        """The last line of standard error and the exit status of a program that ends.

        The status is None if the connection was lost.
        """
        await self._process.wait_closed()
        await self._drained
        return last_line(self.errors), self._process.exit_status

    async def collected(self, text: str) -> Finished:
        """Send `text` as the program's input and wait for its end; interrupting the wait ends the program.

        Raises HatError for endless output.
        """
        out = ""
        try:
            with suppress(
                BrokenPipeError, ConnectionResetError
            ):  # the program has ended; its output tells why
                self._process.stdin.write(text)
                self._process.stdin.write_eof()
            while more := await self._process.stdout.read(CHUNK):
                out += more
                if len(out) > LONGEST_LINE:
                    raise BadAnswer(f"{self._where} printed more than {LONGEST_LINE:,} characters")
            await self.ending()
            if self._process.exit_status is None:
                raise asyncssh.ConnectionLost("no exit status")
        except BaseException:
            with suppress(OSError):
                self._process.terminate()
                self._process.close()
            raise
        return Finished(self._process.exit_status, out, self.errors)


class Connection(AbstractContextManager["Connection"]):
    """An SSH connection, open when made. Raises UserError for refused keys, HatError without an answer."""

    def __init__(self, device: Device) -> None:
        self.device = device
        ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(ready)), name=f"ssh {device.name}", daemon=True
        )
        start(self._thread)
        ready.wait()
        try:
            self._ssh = self.wait(_connect(device))
        except BaseException:
            self._stop()
            raise

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        ready.set()
        await self._stopped.wait()

    def wait(self, task: Coroutine[Any, Any, Result], seconds: float = START_SECONDS) -> Result:
        """Run a coroutine in the thread of the event loop: its result. Interrupting the wait cancels it.

        Raises HatError for errors, NoAnswer after `seconds`.
        """
        future = asyncio.run_coroutine_threadsafe(task, self._loop)
        try:
            with errors.naming_device(self.device):
                return self._result(future, seconds)
        finally:
            future.cancel()

    def _result(self, future: "Future[Result]", seconds: float) -> Result:
        try:
            return future.result(seconds)
        except TimeoutError:
            if future.done():  # the coroutine's own error
                raise
        where = f"{self.device.label}: {self.device.address}"
        raise NoAnswer(f"{where} does not answer within {seconds:.0f} s")

    def run(self, script: str, seconds: float | None = None) -> Finished:
        """Run a script in the device's sh, whatever the user's login shell is."""
        marker = secrets.token_hex(16)
        # The shell reads the script from standard input; the script's programs read nothing.
        text = f"{{ LC_ALL=C; export LC_ALL; echo {marker}\n{script}\n}} </dev/null; exit\n"

        async def run() -> Finished:
            done = await (await self._program("exec sh")).collected(text)
            # The configuration of a login shell may print text before the marker.
            return replace(done, out=done.out.partition(f"{marker}\n")[2])

        return self.wait(run(), START_SECONDS if seconds is None else seconds)

    def start(self, script: str) -> Program:
        """Start a one-line script in the device's sh; the program talks through its input and output."""
        return self.wait(self._program(f"exec sh -c {shlex.quote(script)}"))

    async def _program(self, command: str) -> Program:
        process = await self._ssh.create_process(command, **PLAIN)
        return Program(process, self.device.label)

    def put(self, source: Path, target: str) -> None:
        """Copy a file or folder. Raises HatError where the device cannot hold it."""

        async def copy() -> None:
            async with self._ssh.start_sftp_client() as sftp:
                await sftp.put(str(source), target, recurse=True)

        try:
            self.wait(copy(), copy_seconds(source))
        except HatError as error:
            if self.lost:
                raise
            if isinstance(error.__cause__, asyncssh.SFTPError):
                raise self._copy_failed(source, target, error.__cause__) from error
            if isinstance(error.__cause__, asyncssh.ChannelOpenError):
                raise HatError(f"{self.device.label}: its SSH server offers no SFTP") from error
            raise

    def _copy_failed(self, source: Path, target: str, error: asyncssh.SFTPError) -> HatError:
        """The error for a copy that failed. SFTP reports a full disk only as "Failure": so the partial copy
        is removed, and the free space compared with what the copy needs."""
        folder = shlex.quote(str(Path(target).parent))
        done = self.run(f"rm -rf {shlex.quote(target)}; df -Pk {folder} | tail -n 1")
        blocks = re.match(r"\s*(?:\S+\s+){3}([0-9]{1,15})\s+\S+\s+\S", done.out)
        needed = folder_bytes(source)
        if blocks and (free := 1024 * int(blocks[1])) < needed:
            return HatError(
                f"{self.device.label}: the disk is full there: {source.name} needs {needed:,} bytes and "
                f"{Path(target).parent} has {free:,} free"
            )
        return HatError(f"{self.device.label}: {source} cannot be copied to {target} there: {error.reason}")

    @property
    def lost(self) -> bool:
        """True once the connection has ended."""
        return self._ssh.is_closed()

    def close(self) -> None:
        """Disconnect and end the thread."""

        async def disconnect() -> None:
            self._ssh.close()
            await asyncio.wait_for(self._ssh.wait_closed(), 5)

        try:
            self.wait(disconnect())
        except HatError:
            self._loop.call_soon_threadsafe(self._ssh.abort)
        finally:
            self._stop()

    def __exit__(self, *error: object) -> None:
        self.close()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()


KnownKeys = tuple[list[Any], list[Any], list[Any]]


class _Client(asyncssh.SSHClient):
    """A client that checks host keys as OpenSSH does, and remembers why it refused one.

    asyncssh alone would also accept, for a server at another port, the key of the host's port 22.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._known = _known_hosts(device)
        self.refusal: HatError | None = None

    def known_keys(self, host: str, address: str, port: int | None) -> KnownKeys:
        """The host keys, authorities and revoked keys in known_hosts for the server."""
        names = [name for name in (host, address) if name]
        if port not in (None, DEFAULT_PORT):
            names = [f"[{name}]:{port}" for name in names]
        matches = [self._known.match(name, "", None) for name in names]
        hosts, authorities, revoked = ([key for match in matches for key in match[kind]] for kind in range(3))
        return hosts, authorities, revoked

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Called by asyncssh for a host key that is not a known one: refuse it, and remember why."""
        known = any(self.known_keys(host, addr, port)[:2])
        self.refusal = (errors.changed_host_key if known else errors.unknown_host_key)(self._device, key)
        return False


async def _connect(device: Device) -> asyncssh.SSHClientConnection:
    address = errors.address_of(device)
    client = _Client(device)
    try:
        return await asyncssh.connect(
            address.host,
            address.port if address.port != DEFAULT_PORT else (),  # (): as ~/.ssh/config says
            username=address.user or (),
            client_factory=lambda: client,
            known_hosts=client.known_keys,
            server_host_key_algs="+" + ",".join(HOST_KEY_KINDS),
            client_keys=[str(device.key)] if device.key else (),
            agent_path=None if device.key else (),
            agent_forwarding=False,
            preferred_auth="publickey",
            connect_timeout=CONNECT_SECONDS,
            login_timeout=LOGIN_SECONDS,
            keepalive_interval=KEEPALIVE_SECONDS,
        )
    except asyncssh.HostKeyNotVerifiable as error:
        # Without a refusal of ours: a revoked key, or a certificate that is not valid.
        raise client.refusal or errors.HostKeyRefused(f"{device.label}: {error.reason}") from error


def _known_hosts(device: Device) -> asyncssh.SSHKnownHosts:
    """The known host keys; none where there is no file yet. Raises UserError if it cannot be read."""
    file = errors.known_hosts_file(device)
    try:
        return asyncssh.read_known_hosts(str(file)) if file.exists() else asyncssh.import_known_hosts("")
    except (ValueError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{device.label}: {file}: {reason}") from error
