"""HAT on a device: whether the right version is there, and how it gets there."""

import re
import secrets
import shlex
from dataclasses import dataclass

from hat import __version__
from hat.errors import HatError, UserError, named
from hat.files import file_digest
from hat.hardware.device.devices import Device
from hat.hardware.device.ssh.connection import Connection, Finished
from hat.strict_json import parse_json

OLDEST_PYTHON = (3, 11)
CACHE = '"${XDG_CACHE_HOME:-$HOME/.cache}"/hat'
# One for each version, so that one device serves several checkouts of HAT.
ENVIRONMENT = f"{CACHE}/venv-{__version__}"
# Always the same folder, so that what a lost connection left in it goes with the next wheel.
INCOMING = f"{CACHE}/incoming"
# After a reboot, a process's number is another's.
BOOT = "$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)"
# Ends an installation that still goes on, its programs included, and removes what it was brought.
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
# It has to run and answer in any Python, however old, also in those without the option -P.
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
# For sh: runs a command in an empty folder that only the user can write to, so that it imports nothing from
# there.
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
# pip compiles packages for which it finds no wheel; a Raspberry Pi takes long for that.
INSTALL_SECONDS = 3600.0
WHEEL_NAME = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)(-\d[^-]*)?-(?P<tags>[^-]+-[^-]+-[^-]+)\.whl")
# What pip and venv say → what it means. `wheel` and `last` are filled in.
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
    """A Python on the device. `hat`: the version of HAT that it has, None where it has none."""

    python: tuple[int, ...]
    machine: str
    hat: str | None


def interpreter(device: Device) -> str:
    """The Python that has HAT, as an expression for the device's sh."""
    return f"{ENVIRONMENT}/bin/python" if device.wheel else _quoted(device.python)


def check_installed(connection: Connection) -> None:
    """Raises UserError where the device's Python is absent or too old, or has not this version of HAT."""
    device = connection.device
    found = _probe(connection, interpreter(device))
    if device.wheel and (found is None or found.hat is None):
        raise UserError(
            f"device {device.name}: HAT is not installed there; `hat device check {device.name}` does it"
        )
    known = _checked(found, device)
    if known.hat is None:
        raise UserError(
            f"device {device.name}: {device.python} there has no HAT; install {__version__} for it, or give "
            "`wheel:` a file for `hat device check` to install"
        )
    if known.hat != __version__:
        raise UserError(
            f"device {device.name}: HAT {named(known.hat)} there, {__version__} here; they have to be equal"
        )


def install(connection: Connection) -> bool:
    """Install the device's wheel and what it depends on in a virtual environment of its own.

    Returns whether it had to: nothing is done where this very wheel is there. Raises UserError where it
    cannot run there, HatError where installing fails; what was half installed is removed.
    """
    device = connection.device
    if device.wheel is None:
        return False
    _check_wheel(device)
    stamp = _digest(device)
    if connection.run(f"cat {ENVIRONMENT}/{STAMP}").out.strip() == stamp:
        return False
    base = _checked(_probe(connection, _quoted(device.python)), device)
    _check_tags(device, base)
    folder = _make_folder(connection)
    try:
        connection.put(device.wheel, f"{folder}/{device.wheel.name}")
        done = connection.run(_script(device, f"{folder}/{device.wheel.name}", stamp), INSTALL_SECONDS)
    finally:
        if not connection.lost:
            connection.run(STOP)
    if done.status:
        raise failure(done, device, base)
    return True


def _script(device: Device, wheel: str, stamp: str) -> str:
    """The stamp is written last; without it the environment goes, also where the connection is lost.

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
        raise HatError(f"device {connection.device.name}: no folder for the wheel: {done.last_words()}")
    return done.out.strip()


def _probe(connection: Connection, python: str) -> Interpreter | None:
    """None where there is no such Python."""
    command = f"{python} -c {shlex.quote(PROBE)}"
    token = secrets.token_hex(16)
    done = connection.run(IN_EMPTY_FOLDER.format(token=token, no_folder=NO_FOLDER, command=command))
    if done.status in (126, 127):  # not executable, not found
        return None
    where = f"device {connection.device.name}"
    if done.status == NO_FOLDER:
        raise HatError(f"{where}: no temporary folder there: {done.last_words()}")
    if done.status:
        raise HatError(f"{where}: its Python does not run: {done.last_words()}")
    return _interpreter(done.out, where)


def _interpreter(answer: str, where: str) -> Interpreter:
    """The parsed output of PROBE. Raises HatError for any other output."""
    try:
        found = parse_json(answer, "answer")
        python, machine, hat = (found[key] for key in ("python", "machine", "hat"))
        if (
            [type(part) for part in python] == [int, int]
            and isinstance(machine, str)
            and isinstance(hat, str | None)
        ):
            return Interpreter(tuple(python), machine, hat)
    except (UserError, KeyError, TypeError):
        pass
    raise HatError(f"{where}: its Python printed no version, but: {named(answer.strip())}")


def _checked(found: Interpreter | None, device: Device) -> Interpreter:
    """Raises UserError where there is no Python, or one that is too old."""
    oldest = ".".join(map(str, OLDEST_PYTHON))
    if found is None:
        raise UserError(
            f"device {device.name}: there is no {device.python} there; install Python {oldest} or newer, or "
            "give its path as `python:`"
        )
    if found.python < OLDEST_PYTHON:
        version = ".".join(map(str, found.python))
        raise UserError(
            f"device {device.name}: {device.python} there is Python {version}; HAT needs {oldest} or newer"
        )
    return found


def _check_wheel(device: Device) -> None:
    """Raises UserError where its name is not that of a wheel of this version."""
    assert device.wheel is not None
    parts = WHEEL_NAME.fullmatch(device.wheel.name)
    if not parts or parts["name"] != "hardware_aware_transformers":
        raise UserError(f"device {device.name}: {device.wheel} is not named like a wheel of HAT")
    if parts["version"] != __version__:
        raise UserError(
            f"device {device.name}: {device.wheel} is of version {parts['version']}, this is {__version__}"
        )


def _check_tags(device: Device, base: Interpreter) -> None:
    """Raises UserError where the wheel's name tells that it cannot run there. pip looks closer, but late."""
    assert device.wheel is not None
    parts = WHEEL_NAME.fullmatch(device.wheel.name)
    assert parts
    python, abi, platforms = (part.split(".") for part in parts["tags"].split("-"))
    same_python = "py3" in python or "abi3" in abi or f"cp{base.python[0]}{base.python[1]}" in python
    same_machine = any(one == "any" or one.endswith((base.machine, "universal2")) for one in platforms)
    if not (same_python and same_machine):
        raise failure(Finished(1, "", "not a supported wheel on this platform"), device, base)


def _digest(device: Device) -> str:
    assert device.wheel is not None
    try:
        return file_digest(device.wheel)
    except OSError as error:
        raise UserError(f"device {device.name}: {device.wheel}: {error.strerror}") from error


def failure(done: Finished, device: Device, base: Interpreter) -> HatError:
    """What the output of an installation that failed means."""
    assert device.wheel is not None
    parts = WHEEL_NAME.fullmatch(device.wheel.name)
    facts = {
        "wheel": device.wheel.name,
        "tags": parts["tags"] if parts else "?",
        "machine": named(base.machine),
        "python": ".".join(map(str, base.python)),
        "last": named(done.last_words()),
    }
    text = next((meaning for said, meaning in MEANINGS if re.search(said, done.err, re.IGNORECASE)), "{last}")
    kind = UserError if "{tags}" in text else HatError
    return kind(f"device {device.name}: HAT cannot be installed there: {text.format(**facts)}")


def _quoted(path: str) -> str:
    """For sh, in whatever folder: a path that is not absolute begins at the user's home."""
    if path.startswith("/") or "/" not in path:
        return shlex.quote(path)
    return f'"$HOME"/{shlex.quote(path.removeprefix("~/"))}'
