"""HAT on a device: the check that the right version is there, and its installation."""

import re
import secrets
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hat.errors import HatError, UserError, named
from hat.files import file_digest
from hat.hardware.device.device import Device
from hat.hardware.device.ssh.connection import Connection, Finished
from hat.strict_json import parse_json
from hat.version import __version__

OLDEST_PYTHON = (3, 11)
CACHE = '"${XDG_CACHE_HOME:-$HOME/.cache}"/hat'
# A virtual environment for each version, so that one device serves several versions of HAT.
ENVIRONMENT = f"{CACHE}/venv-{__version__}"
# Always the same folder, so that the next installation removes what a lost connection left in it.
INCOMING = f"{CACHE}/incoming"
# Tells boots apart: after a reboot, another process may have the number of the old one.
BOOT = "$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)"
# Ends an installation that is still running, with its programs, and removes the copied wheel.
STOP = f"""
if {{ read -r pid boot <{INCOMING}/pid; }} 2>/dev/null && test "$boot" = "{BOOT}"; then
    kill -TERM -"$pid" 2>/dev/null
    for tenth in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        test -f {INCOMING}/pid || break
        sleep 0.1
    done
fi
rm -rf {INCOMING}
"""
STAMP = "hat-wheel.sha256"
# Prints the versions of Python and HAT. It runs in any Python, however old, also without the option -P.
PROBE = """
import sys
sys.path[:] = [place for place in sys.path if place]
import json, platform
try:
    from hat import __version__ as hat
except Exception:
    hat = None
print(json.dumps({"python": sys.version_info[:2], "machine": platform.machine(), "hat": hat}))
"""
# For sh: runs a command in an empty folder of the user's own, so that Python imports nothing from it.
IN_EMPTY_FOLDER = """
umask 077
d="${{TMPDIR:-/tmp}}"/hat-{token}
mkdir "$d" && cd "$d" || exit {no_folder}
trap 'kill -9 $p 2>/dev/null; cd / && rm -rf "$d"' EXIT
trap 'exit 143' HUP INT TERM PIPE
PYTHONSAFEPATH=1 {command} & p=$!
wait $p; status=$?; p=; exit $status
"""
NO_FOLDER = 73
# pip compiles packages for which there is no wheel, which takes a Raspberry Pi long.
INSTALL_SECONDS = 3600.0
WHEEL_NAME = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)(-\d[^-]*)?-(?P<tags>[^-]+-[^-]+-[^-]+)\.whl")
# Pattern of a message of pip or venv → its meaning, with fields such as {wheel} to fill in.
MEANINGS = (
    (r"No space left on device|disk quota exceeded", "the disk is full there"),
    (
        r"not a supported wheel on this platform|not compatible with this Python",
        "{wheel} is for {tags}, the device is {machine} with Python {python}",
    ),
    (
        r"ensurepip|No module named venv|No module named pip",
        "its Python has no venv; on Debian and Ubuntu: sudo apt-get install python3-venv",
    ),
    (
        r"No matching distribution|Could not find a version|NewConnectionError|Could not fetch",
        "pip there cannot get what {wheel} depends on: {last}",
    ),
)


@dataclass(frozen=True)
class Interpreter:
    """A Python on the device: its version, its machine, and the version of HAT installed for it, if any."""

    python: tuple[int, ...]
    machine: str
    hat: str | None


def interpreter(device: Device) -> str:
    """The Python for which HAT is installed, as an expression for the device's sh."""
    return f"{ENVIRONMENT}/bin/python" if device.wheel else _quoted(device.python)


def check_installed(connection: Connection) -> None:
    """Raises UserError where the device's Python is absent, too old, or without this version of HAT."""
    device = connection.device
    probed = _probe(connection, interpreter(device))
    if device.wheel and (probed is None or probed.hat is None):
        raise UserError(
            f"{device.label}: HAT is not installed there; `hat device check {device.name}` does it"
        )
    python = _checked(probed, device)
    if python.hat is None:
        raise UserError(
            f"{device.label}: {device.python} there has no HAT; install {__version__} for it, or give "
            "`wheel:` a file for `hat device check` to install"
        )
    if python.hat != __version__:
        raise UserError(
            f"{device.label}: HAT {named(python.hat)} there, {__version__} here; they have to be equal"
        )


def install_wheel(device: Device, note: Callable[[str], None]) -> bool:
    """Connect to the device and `install` its wheel."""
    with Connection(device) as connection:
        note(f"connected to {device.address}; the wheel is installed now unless it is there already")
        return install(connection)


def install(connection: Connection) -> bool:
    """Install the device's wheel and its dependencies in a virtual environment of their own.

    False where this very wheel is there already: nothing is done then. Raises UserError where the wheel
    cannot run there, HatError where installing fails; a partial installation is removed.
    """
    device, wheel = connection.device, connection.device.wheel
    if wheel is None:
        return False
    tags, stamp = _wheel_tags(wheel, device), _digest(wheel, device)
    if connection.run(f"cat {ENVIRONMENT}/{STAMP}").out.strip() == stamp:
        return False
    base = _checked(_probe(connection, _quoted(device.python)), device)
    if not _fits(tags, base):  # pip checks better, but later
        raise failure(Finished(1, "", "not a supported wheel on this platform"), device, base)
    copied = f"{_make_folder(connection)}/{wheel.name}"
    try:
        connection.put(wheel, copied)
        done = connection.run(_script(device, copied, stamp), INSTALL_SECONDS)
    finally:
        if not connection.lost:
            connection.run(STOP)
    if done.status:
        raise failure(done, device, base)
    return True


def _script(device: Device, wheel: str, stamp: str) -> str:
    """The script that installs. It writes the stamp last, and removes an environment without one at its end.

    sshd makes the shell the leader of a process group, which its programs belong to.
    """
    return f"""
    umask 077
    venv={ENVIRONMENT}
    trap 'test -f "$venv"/{STAMP} || rm -rf "$venv"; rm -f {INCOMING}/pid' EXIT
    trap 'exit 143' HUP INT TERM PIPE
    echo "$$ {BOOT}" >{INCOMING}/pid
    rm -rf "$venv"
    cd {INCOMING} || exit {NO_FOLDER}
    export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONSAFEPATH=1
    {_quoted(device.python)} -m venv "$venv" >&2 &&
    "$venv"/bin/python -m pip install --quiet --no-input {shlex.quote(wheel)} >&2 &&
    echo {stamp} >"$venv"/{STAMP}
    """


def _make_folder(connection: Connection) -> str:
    done = connection.run(f"{STOP}\numask 077; mkdir -p {INCOMING} && cd {INCOMING} && pwd")
    if done.status:
        raise HatError(f"{connection.device.label}: no folder for the wheel: {done.last_words()}")
    return done.out.strip()


def _probe(connection: Connection, python: str) -> Interpreter | None:
    """The device's Python at that path, asked for its versions; None where there is none."""
    command = f"{python} -c {shlex.quote(PROBE)}"
    token = secrets.token_hex(16)
    done = connection.run(IN_EMPTY_FOLDER.format(token=token, no_folder=NO_FOLDER, command=command))
    if done.status in (126, 127):  # not executable, not found
        return None
    where = connection.device.label
    if done.status == NO_FOLDER:
        raise HatError(f"{where}: no temporary folder there: {done.last_words()}")
    if done.status:
        raise HatError(f"{where}: its Python does not run: {done.last_words()}")
    return _interpreter(done.out, where)


def _interpreter(answer: str, where: str) -> Interpreter:
    """The parsed output of PROBE. Raises HatError for any other output."""
    try:
        values = parse_json(answer, "answer")
        python, machine, hat = (values[key] for key in ("python", "machine", "hat"))
        if (
            [type(part) for part in python] == [int, int]
            and isinstance(machine, str)
            and isinstance(hat, str | None)
        ):
            return Interpreter(tuple(python), machine, hat)
    except (UserError, KeyError, TypeError):
        pass
    raise HatError(f"{where}: its Python printed no version, but: {named(answer.strip())}")


def _checked(probed: Interpreter | None, device: Device) -> Interpreter:
    """The probed Python. Raises UserError where there is none, or it is too old."""
    oldest = ".".join(map(str, OLDEST_PYTHON))
    if probed is None:
        raise UserError(
            f"{device.label}: there is no {device.python} there; install Python {oldest} or newer, or "
            "give its path as `python:`"
        )
    if probed.python < OLDEST_PYTHON:
        version = ".".join(map(str, probed.python))
        raise UserError(
            f"{device.label}: {device.python} there is Python {version}; HAT needs {oldest} or newer"
        )
    return probed


def _wheel_tags(wheel: Path, device: Device) -> str:
    """The tags in a wheel's name. Raises UserError where the name is not that of this version of HAT."""
    parts = WHEEL_NAME.fullmatch(wheel.name)
    if not parts or parts["name"] != "hardware_aware_transformers":
        raise UserError(f"{device.label}: {wheel} is not named like a wheel of HAT")
    if parts["version"] != __version__:
        raise UserError(f"{device.label}: {wheel} is of version {parts['version']}, this is {__version__}")
    return parts["tags"]


def _fits(tags: str, base: Interpreter) -> bool:
    """False where a wheel's tags exclude the device."""
    python, abi, platforms = (part.split(".") for part in tags.split("-"))
    if not ("py3" in python or "abi3" in abi or f"cp{base.python[0]}{base.python[1]}" in python):
        return False
    return any(tag == "any" or tag.endswith((base.machine, "universal2")) for tag in platforms)


def _digest(wheel: Path, device: Device) -> str:
    try:
        return file_digest(wheel)
    except OSError as error:
        raise UserError(f"{device.label}: {wheel}: {error.strerror}") from error


def failure(done: Finished, device: Device, base: Interpreter) -> HatError:
    """The error for a failed installation, from the output of pip and venv."""
    assert device.wheel is not None
    parts = WHEEL_NAME.fullmatch(device.wheel.name)
    facts = {
        "wheel": device.wheel.name,
        "tags": parts["tags"] if parts else "?",
        "machine": named(base.machine),
        "python": ".".join(map(str, base.python)),
        "last": named(done.last_words()),
    }
    matching = (text for pattern, text in MEANINGS if re.search(pattern, done.err, re.IGNORECASE))
    text = next(matching, "{last}")
    kind = UserError if "{tags}" in text else HatError
    return kind(f"{device.label}: HAT cannot be installed there: {text.format(**facts)}")


def _quoted(path: str) -> str:
    """A path for sh, in whatever folder it runs: relative paths begin at the user's home."""
    if path.startswith("/") or "/" not in path:
        return shlex.quote(path)
    return f'"$HOME"/{shlex.quote(path.removeprefix("~/"))}'
