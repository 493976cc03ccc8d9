"""Transports: the ways to reach a device, by the scheme of its address.

docs/add/transport.md says how to add one. Its library is imported only when a device is reached.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

from hat.errors import UserError, shown
from hat.hardware.device.device import Device
from hat.hardware.device.link import Link
from hat.hardware.device.process import LocalLink
from hat.hardware.device.ssh.address import SshAddress

Note = Callable[[str], None]


@dataclass(frozen=True)
class Transport:
    """A way to reach devices.

    - `form`: an example of an address, for messages.
    - `parse`: reads an address into an object whose `str` is its usual form; raises ValueError.
    - `keys`: the keys of a declared device that this transport uses (of `key`, `known_hosts`, `python`,
      `wheel`).
    - `link`: "module:class" of its Link, called with the device and a function that shows a line to the user.
    - `install`: "module:function" that installs the device's wheel and returns False if it was there already;
      with it, "wheel" is one of the `keys`.
    - `extra`: the extra of this package that installs the libraries which these modules import.
    """

    form: str
    parse: Callable[[str], object]
    keys: tuple[str, ...]
    link: str
    install: str = ""
    extra: str | None = None


TRANSPORTS = {
    "ssh": Transport(
        form="ssh://user@host:port",
        parse=SshAddress.parse,
        keys=("key", "known_hosts", "python", "wheel"),
        link="hat.hardware.device.ssh.link:SshLink",
        install="hat.hardware.device.ssh.installation:install_wheel",
        extra="ssh",
    ),
}
ADDRESS_FORMS = " or ".join(transport.form for transport in TRANSPORTS.values())


def transport_of(address: object, where: str) -> tuple[Transport, str]:
    """The transport for an address, and the address in its usual form. Raises UserError naming `where`."""
    scheme = address.partition("://")[0].lower() if isinstance(address, str) else None
    try:
        transport = TRANSPORTS[str(scheme)]
        return transport, str(transport.parse(str(address)))
    except (KeyError, ValueError) as error:
        raise UserError(f"{where}: {shown(address)} is not an address; expected {ADDRESS_FORMS}") from error
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def open_link(device: Device, note: Note) -> Link:
    """A link to a fresh agent on the device. `note` shows the user a line about trouble that may pass.

    Raises UserError where the device is declared wrongly, HatError where it cannot be reached.
    """
    link: Link = LocalLink() if device.address is None else _imported(device, "link")(device, note)
    return link


def install(device: Device, note: Note) -> bool | None:
    """Install the device's wheel of HAT. False if it was there already, None for a device without a wheel.

    Raises UserError, HatError.
    """
    if device.address is None or device.wheel is None:
        return None
    installed: bool = _imported(device, "install")(device, note)
    return installed


def _imported(device: Device, part: str) -> Any:
    """The `link` or `install` of a device's transport. Raises UserError where a library is not installed."""
    transport, _ = transport_of(device.address, device.label)
    try:
        return resolve_name(getattr(transport, part))
    except ModuleNotFoundError as error:
        if transport.extra is None:
            raise
        raise UserError(
            f"{device.name}: devices at {transport.form} need {error.name}; "
            f"pip install 'hardware-aware-transformers[{transport.extra}]'"
        ) from error
