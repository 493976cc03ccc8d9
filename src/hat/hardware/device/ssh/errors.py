"""What can go wrong on the way to a device over SSH, told in one line each."""

import shlex
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncssh

from hat.errors import HatError, UserError, named
from hat.hardware.device.devices import Address, Device
from hat.hardware.device.link import LinkLost

DEFAULT_KNOWN_HOSTS = Path("~/.ssh/known_hosts")
DEFAULT_PORT = 22
KEY_FILE_ERRORS = (asyncssh.KeyImportError, asyncssh.KeyEncryptionError)


class Unreachable(HatError):
    """Nothing answers at the address: switched off, booting, no network, or a wrong address."""


class KeyRefused(UserError):
    """The device does not take the user's key."""


class HostKeyRefused(UserError):
    """The device's host key is not the known one, or none is known."""


def known_hosts_file(device: Device) -> Path:
    """Where the device's host key has to stand."""
    return device.known_hosts or DEFAULT_KNOWN_HOSTS.expanduser()


@contextmanager
def told_of(device: Device) -> Iterator[None]:
    """Around what talks to the device: its errors become HatErrors that name the device."""
    try:
        yield
    except (asyncssh.Error, *KEY_FILE_ERRORS, OSError) as error:
        raise told(error, device) from error


def told(error: Exception, device: Device) -> HatError:
    """The error for the person."""
    assert device.address is not None
    where, at = f"device {device.name}", str(device.address)
    if isinstance(error, (asyncssh.PermissionDenied, *KEY_FILE_ERRORS)):
        return _key_error(error, device)
    if isinstance(error, asyncssh.KeyExchangeFailed):
        return Unreachable(f"{where}: no common encryption with {at}: {named(error.reason)}")
    if isinstance(error, asyncssh.ConnectionLost | asyncssh.SFTPConnectionLost | ConnectionResetError):
        return LinkLost(f"{where}: the connection to {at} was lost")
    if isinstance(error, asyncssh.Error):
        return LinkLost(f"{where}: {at}: {named(error.reason)}")
    return _system_error(error, where, at, device.address)


def _key_error(error: Exception, device: Device) -> UserError:
    where = f"device {device.name}"
    if "assphrase" in str(error):
        return UserError(f"{where}: {device.key} has a passphrase: ssh-add it and leave `key:` out")
    if isinstance(error, asyncssh.KeyImportError):
        return UserError(f"{where}: {device.key or 'a key of ~/.ssh'}: not a private key ({error})")
    refused = f"the key {device.key} is not" if device.key else "none of the ssh-agent's and ~/.ssh's keys is"
    return KeyRefused(
        f"{where}: {refused} accepted at {device.address}; give the right `key:`, or bring the public key "
        f"there: ssh-copy-id {' '.join(ssh_arguments(device, copy_key=True))}"
    )


def _system_error(error: Exception, where: str, at: str, address: Address) -> HatError:
    if isinstance(error, socket.gaierror):
        return Unreachable(f"{where}: no host is called {address.host} ({error.strerror})")
    if isinstance(error, TimeoutError):
        return Unreachable(f"{where}: {at} does not answer; is it switched on and on this network?")
    if isinstance(error, ConnectionRefusedError):
        return Unreachable(f"{where}: {at} refuses the connection; does an SSH server run at this port?")
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError) and error.filename:
        return UserError(f"{where}: {error.filename}: {error.strerror}")
    return Unreachable(f"{where}: {at} cannot be reached: {getattr(error, 'strerror', None) or error}")


def unknown_host_key(device: Device, key: asyncssh.SSHKey) -> HostKeyRefused:
    """No key of this host is known: how to compare and accept it."""
    assert device.address is not None
    return HostKeyRefused(
        f"device {device.name}: the host key of {device.address} is not in {known_hosts_file(device)}. It is "
        f"{fingerprint(key)}: compare that with `ssh-keygen -lf {public_key_file(key)}` run on the device, "
        f"then accept it with `ssh {' '.join(ssh_arguments(device))} true`"
    )


def changed_host_key(device: Device, key: asyncssh.SSHKey | None) -> HostKeyRefused:
    """Another key is known for this host. `key` None: it offers no key of the known kind."""
    assert device.address is not None
    file, address = known_hosts_file(device), device.address
    host = address.host if address.port == DEFAULT_PORT else f"[{address.host}]:{address.port}"
    now = f"it is {fingerprint(key)} now" if key else "it has none of that kind now"
    return HostKeyRefused(
        f"device {device.name}: the host key of {address} is NOT the one in {file}: {now}. Somebody may have "
        "put another machine in its place; if it was installed anew, forget the old key: "
        f"ssh-keygen -f {shlex.quote(str(file))} -R {shlex.quote(host)}"
    )


def fingerprint(key: asyncssh.SSHKey) -> str:
    """As ssh-keygen shows it."""
    return f"{key.get_fingerprint()} ({key.get_algorithm()})"


def public_key_file(key: asyncssh.SSHKey) -> str:
    """Where OpenSSH keeps a host key of this kind."""
    kind = key.get_algorithm().removeprefix("ssh-").partition("-")[0]
    return f"/etc/ssh/ssh_host_{kind}_key.pub"


def ssh_arguments(device: Device, copy_key: bool = False) -> list[str]:
    """What `ssh` (or `ssh-copy-id`) has to be called with to reach the device."""
    assert device.address is not None
    port = ["-p", str(device.address.port)] if device.address.port != DEFAULT_PORT else []
    hosts = ["-o", f"UserKnownHostsFile={device.known_hosts}"] if device.known_hosts else []
    key = ["-i", str(device.key)] if device.key and copy_key else []
    user = f"{device.address.user}@" if device.address.user else ""
    return [shlex.quote(part) for part in (*port, *hosts, *key, user + device.address.host)]
