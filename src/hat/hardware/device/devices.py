"""What can be measured on: this machine's processor, its GPUs, and devices declared in a YAML file.

devices:
  pi: {address: ssh://pi@raspberrypi.local, key: ~/.ssh/id_ed25519, threads: 4, wheel: dist/hat.whl}
"""

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hat.errors import UserError, named, shown
from hat.files import check_keys, naming_lines, read_yaml
from hat.hardware.agent.environment import nvidia_gpus
from hat.runtime.engine import DEVICES as ACCELERATORS
from hat.runtime.engine import ENGINES, installed_engine
from hat.runtime.weights.precision import check_precision

LOCAL = "local"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Where devices are declared unless a file is named: the first that there is.
FILES = (Path("devices.yaml"), Path("~/.config/hat/devices.yaml"))
TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


@dataclass(frozen=True)
class Address:
    """Where an SSH server is. `user` None: as ~/.ssh/config or this machine's user name say."""

    host: str
    port: int = 22
    user: str | None = None

    @classmethod
    def parse(cls, text: object, where: str) -> "Address":
        """Read ssh://user@host:port; user and port may be absent. Raises UserError."""
        wrong = UserError(f"{where}: {shown(text)} is not an address; expected ssh://user@host:port")
        if not isinstance(text, str) or not text.isprintable() or re.search(r"\s", text):
            raise wrong
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:  # a port that is no number, half an IPv6 address
            raise wrong from error
        if parts.scheme != "ssh" or not parts.hostname or parts.path not in ("", "/") or port == 0:
            raise wrong
        if parts.password is not None:
            raise UserError(f"{where}: passwords are not used; give a key, or none for the ssh-agent's")
        if parts.query or parts.fragment or parts.username == "":
            raise wrong
        return cls(parts.hostname, port or 22, parts.username)

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ssh://{user}{host}" + (f":{self.port}" if self.port != 22 else "")


@dataclass(frozen=True)
class Device:
    """One device and how translations run on it. Raises UserError.

    `address` None: this machine. `key` None: those of the ssh-agent and ~/.ssh; `known_hosts` None:
    ~/.ssh/known_hosts. `python`: the interpreter over there, a name or a path; with `wheel` it makes a
    virtual environment for that wheel of HAT, without it has HAT already. `cores`: those that the
    threads stay on; none: where the system puts them. `gpu`: which, for accelerator "cuda". `about`:
    what the system calls it.
    """

    name: str
    address: Address | None = None
    key: Path | None = None
    known_hosts: Path | None = None
    python: str = "python3"
    wheel: Path | None = None
    engine: str = "native"
    precision: str = "int8"
    threads: int = 1
    cores: tuple[int, ...] = ()
    accelerator: str = "cpu"
    gpu: int = 0
    about: str = ""

    def __post_init__(self) -> None:
        _check_choice(self.engine, ENGINES, "engine")
        check_precision(self.precision, "precision")
        _check_choice(self.accelerator, ACCELERATORS, "accelerator")
        if self.accelerator == "cuda" and self.engine != "torch":
            raise UserError(f"engine: {self.engine} does not run on a GPU; with accelerator cuda it is torch")
        if not _is_count(self.threads, least=1):
            raise UserError(f"threads: {shown(self.threads)} is not a positive whole number")
        if not _is_count(self.gpu):
            raise UserError(f"gpu: {shown(self.gpu)} is not the number of a GPU; the first is 0")
        if not all(_is_count(core) for core in self.cores) or len(set(self.cores)) < len(self.cores):
            raise UserError(f"cores: {shown(list(self.cores))} is not a list of different core numbers")
        if self.cores and len(self.cores) < self.threads:
            raise UserError(f"cores: {len(self.cores)} for {self.threads} threads")

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        paths = {key: str(getattr(self, key)) for key in PATHS if getattr(self, key)}
        address = str(self.address) if self.address else None
        return asdict(self) | paths | {"address": address, "cores": list(self.cores)}


PATHS = ("key", "known_hosts", "wheel")
REMOTE_ONLY = (*PATHS, "python")
KEYS = [field.name for field in fields(Device) if field.name not in ("name", "about")]


def known_devices(file: Path | None = None) -> dict[str, Device]:
    """This machine's devices and those declared in `file`, by default the first of FILES, by name.

    Raises UserError naming file and key for whatever is wrong in it.
    """
    found = {device.name: device for device in [_local(), *_gpus()]}
    file = file or default_file()
    return found if file is None else found | declared_devices(file)


def default_file() -> Path | None:
    """The first of FILES that exists."""
    return next((path for path in map(Path.expanduser, FILES) if path.is_file()), None)


def device_named(name: str, file: Path | None = None) -> Device:
    """Raises UserError that lists the known devices where none is called `name`."""
    known = known_devices(file)
    if name not in known:
        raise UserError(f"no device is called {named(name)}; the known ones are {', '.join(known)}")
    return known[name]


def declared_devices(file: Path) -> dict[str, Device]:
    """The devices declared in a file, by name. Raises UserError like `known_devices`."""
    value = read_yaml(file)
    with naming_lines(file):
        return _declared(value, file)


def _declared(value: object, file: Path) -> dict[str, Device]:
    keys = check_keys(value, ("devices",), str(file))
    declared = keys["devices"]
    if not isinstance(declared, Mapping):
        raise UserError(f"{file}: devices: expected a mapping of names to devices")
    return {str(name): _read(name, value, file) for name, value in declared.items()}


def _read(name: object, value: object, file: Path) -> Device:
    where = f"{file}: devices.{named(name)}"
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise UserError(f"{where}: a device's name consists of letters, digits, '.', '_' and '-'")
    if name == LOCAL:
        raise UserError(f"{where}: is this machine's processor already; choose another name")
    keys = dict(check_keys(value, KEYS, where, optional=KEYS))
    if keys.get("address") is None:
        useless = [key for key in REMOTE_ONLY if key in keys]
        if useless:
            raise UserError(f"{where}: {', '.join(useless)} without an address (ssh://user@host:port)")
    else:
        keys["address"] = Address.parse(keys["address"], f"{where}: address")
    for key, kind, read in CONVERSIONS:
        if keys.get(key) is None:
            keys.pop(key, None)
        else:
            keys[key] = _converted(keys[key], kind, read, f"{where}: {key}", file)
    if keys.get("accelerator") == "cuda":
        keys.setdefault("engine", "torch")
        keys.setdefault("precision", "float32")
    try:
        return Device(name, **keys)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _path(value: Any, file: Path) -> Path:
    return file.absolute().parent / Path(value).expanduser()


# Key, the type that YAML has for it, and what becomes of it.
CONVERSIONS: tuple[tuple[str, type, Callable[[Any, Path], Any]], ...] = (
    *((key, str, _path) for key in PATHS),
    ("python", str, lambda value, _: value),
    ("cores", list, lambda value, _: tuple(value)),
)


def _converted(value: Any, kind: type, read: Callable[[Any, Path], Any], where: str, file: Path) -> Any:
    if not isinstance(value, kind) or value == "" or not str(value).isprintable():
        expected = "a list of core numbers" if kind is list else "a text"
        raise UserError(f"{where}: {shown(value)} is not {expected}")
    try:
        return read(value, file)
    except RuntimeError as error:  # the home of a user whom this machine does not know
        raise UserError(f"{where}: {shown(value)}: {error}") from error


def _check_choice(value: object, known: Collection[str], key: str) -> None:
    if not isinstance(value, str) or value not in known:
        raise UserError(f"{key}: {shown(value)}; the choices are {', '.join(known)}")


def _is_count(value: object, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _local() -> Device:
    try:
        engine = installed_engine("auto")
    except UserError:
        engine = "native"  # the error comes where it is used, and says what to install
    return Device(LOCAL, engine=engine, cores=_own_cores(), about="this machine's processor")


def _own_cores() -> tuple[int, ...]:
    """Cores that this process may use, one hardware thread of each; () where the system does not tell."""
    if not hasattr(os, "sched_getaffinity"):
        return ()
    cores: dict[str, int] = {}
    for core in sorted(os.sched_getaffinity(0)):
        try:
            siblings = Path(TOPOLOGY.format(core)).read_text()
        except OSError:
            siblings = str(core)
        cores.setdefault(siblings, core)
    return tuple(cores.values())


def _gpus() -> list[Device]:
    """The GPUs that NVIDIA's driver lists; asked without torch, which is slow to load or absent."""
    lines = [line.partition(",")[::2] for line in nvidia_gpus("index,name")]
    return [
        Device(
            f"cuda:{int(index)}",
            engine="torch",
            precision="float32",
            accelerator="cuda",
            gpu=int(index),
            about=title.strip(),
        )
        for index, title in lines
        if re.fullmatch(r"\s*[0-9]{1,4}\s*", index)
    ]
