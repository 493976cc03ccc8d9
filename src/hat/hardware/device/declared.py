"""The known devices: this machine's processor, its GPUs, and the devices declared in a YAML file.

devices:
  pi: {address: ssh://pi@raspberrypi.local, key: ~/.ssh/id_ed25519, threads: 4, wheel: dist/hat.whl}
"""

import os
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from hat.engine_specs import FIRST_ENGINE, engines_on
from hat.errors import UserError, named, shown
from hat.files import check_keys, naming_lines, read_yaml
from hat.hardware.agent.environment import nvidia_gpus
from hat.hardware.device.device import Device
from hat.hardware.device.transports import ADDRESS_FORMS, transport_of
from hat.runtime import installed_engine

LOCAL = "local"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Where devices are declared unless the user names a file: the first of these that exists.
FILES = (Path("devices.yaml"), Path("~/.config/hat/devices.yaml"))
TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
PATHS = ("key", "known_hosts", "wheel")
# Keys for which a device needs an address, of a transport that uses them.
REMOTE_KEYS = (*PATHS, "python")
# The settings of a GPU that its declaration leaves out.
GPU: dict[str, Any] = {"accelerator": "cuda", "engine": engines_on("cuda")[0], "precision": "float32"}
KEYS = [field.name for field in fields(Device) if field.name not in ("name", "about")]


def known_devices(file: Path | None = None) -> dict[str, Device]:
    """This machine's devices and those declared in `file`, by default the first of FILES, by name.

    Raises UserError naming file and key for whatever is wrong in it.
    """
    here = {device.name: device for device in [_local(), *_gpus()]}
    file = file or default_file()
    return here if file is None else here | declared_devices(file)


def default_file() -> Path | None:
    """The first of FILES that exists."""
    return next((path for path in map(Path.expanduser, FILES) if path.is_file()), None)


def device_named(name: str, file: Path | None = None) -> Device:
    """The known device called `name`. Raises UserError that lists the known devices where there is none."""
    known = known_devices(file)
    if name not in known:
        raise UserError(f"no device is called {named(name)}; the known ones are {', '.join(known)}")
    return known[name]


def declared_devices(file: Path) -> dict[str, Device]:
    """The devices declared in a file, by name. Raises UserError like `known_devices`."""
    document = read_yaml(file)
    with naming_lines(file):
        declared = check_keys(document, ("devices",), str(file))["devices"]
        if not isinstance(declared, Mapping):
            raise UserError(f"{file}: devices: expected a mapping of names to devices")
        return {str(name): _declared_device(name, keys, file) for name, keys in declared.items()}


def _declared_device(name: object, value: object, file: Path) -> Device:
    where = f"{file}: devices.{named(name)}"
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise UserError(f"{where}: a device's name consists of letters, digits, '.', '_' and '-'")
    if name == LOCAL:
        raise UserError(f"{where}: is this machine's processor already; choose another name")
    keys = dict(check_keys(value, KEYS, where, optional=KEYS))
    if keys.get("address") is None:
        usable: tuple[str, ...] = ()
        remedy = f"without an address ({ADDRESS_FORMS})"
    else:
        transport, keys["address"] = transport_of(keys["address"], f"{where}: address")
        usable, remedy = transport.keys, f"is not used by {transport.form}"
    if unusable := [key for key in REMOTE_KEYS if key in keys and key not in usable]:
        raise UserError(f"{where}: {', '.join(unusable)} {remedy}")
    for key in (*REMOTE_KEYS, "cores"):
        if keys.get(key) is None:
            keys.pop(key, None)
        else:
            keys[key] = _converted(keys[key], key, f"{where}: {key}", file)
    if keys.get("accelerator") == "cuda":
        keys = {**GPU, **keys}
    try:
        return Device(name, **keys)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _converted(value: Any, key: str, where: str, file: Path) -> Any:
    """The value of a key in the type that `Device` has for it; paths are relative to the file's folder."""
    kind, expected = (list, "a list of core numbers") if key == "cores" else (str, "a text")
    if not isinstance(value, kind) or value == "" or not str(value).isprintable():
        raise UserError(f"{where}: {shown(value)} is not {expected}")
    if key not in PATHS:
        return tuple(value) if kind is list else value
    try:
        return file.absolute().parent / Path(str(value)).expanduser()
    except RuntimeError as error:  # the home of a user whom this machine does not know
        raise UserError(f"{where}: {shown(value)}: {error}") from error


def _local() -> Device:
    try:
        engine = installed_engine("auto")
    except UserError:
        engine = FIRST_ENGINE  # its first use raises the error, which says what to install
    return Device(LOCAL, engine=engine, cores=_allowed_cores(), about="this machine's processor")


def _allowed_cores() -> tuple[int, ...]:
    """The cores that this process may use, by one hardware thread of each; () where they are unknown."""
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
    """The GPUs that NVIDIA's driver lists. No torch: it is slow to load, or not installed."""
    indices_and_names = [line.partition(",")[::2] for line in nvidia_gpus("index,name")]
    return [
        Device(f"cuda:{int(index)}", gpu=int(index), about=about.strip(), **GPU)
        for index, about in indices_and_names
        if re.fullmatch(r"\s*[0-9]{1,4}\s*", index)
    ]
