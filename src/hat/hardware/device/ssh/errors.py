"""One-line messages for all that can go wrong on the way to a device over SSH."""

import shlex
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncssh

from hat.errors import HatError, UserError, named
from hat.hardware.device.device import Device
from hat.hardware.device.link import LinkLost
from hat.hardware.device.ssh.address import DEFAULT_PORT, SshAddress

DEFAULT_KNOWN_HOSTS = Path("~/.ssh/known_hosts")
KEY_FILE_ERRORS = (asyncssh.KeyImportError, asyncssh.KeyEncryptionError)


class Unreachable(HatError):
    """Nothing answers at the address: the device is off or booting, or network or address are wrong."""


class KeyRefused(UserError):
    """The device does not accept the user's key."""


class HostKeyRefused(UserError):
    """The device's host key is unknown, or is not the known one."""


def address_of(device: Device) -> SshAddress:
    """The address of a device that has one."""
    assert device.address is not None
    return SshAddress.parse(device.address)


def known_hosts_file(device: Device) -> Path:
    """The file that has to hold the device's host key."""
    return device.known_hosts or DEFAULT_KNOWN_HOSTS.expanduser()


@contextmanager
def naming_device(device: Device) -> Iterator[None]:
    """Turn errors of talking to the device into HatErrors that name it."""
    try:
        yield
    except (asyncssh.Error, *KEY_FILE_ERRORS, OSError) as error:
        raise _explained(error, device) from error


def _explained(error: Exception, device: Device) -> HatError:
    """The error with its meaning for the user."""
    where = device.label
    if isinstance(error, (asyncssh.PermissionDenied, *KEY_FILE_ERRORS)):
        return _key_error(error, device)
    if isinstance(error, asyncssh.KeyExchangeFailed):
        return Unreachable(f"{where}: no common encryption with {device.address}: {named(error.reason)}")
    if isinstance(error, asyncssh.ConnectionLost | asyncssh.SFTPConnectionLost | ConnectionResetError):
        return LinkLost(f"{where}: the connection to {device.address} was lost")
    if isinstance(error, asyncssh.Error):
        return LinkLost(f"{where}: {device.address}: {named(error.reason)}")
    return _system_error(error, device)


def _key_error(error: Exception, device: Device) -> UserError:
    where = device.label
    if "assphrase" in str(error):
        return UserError(f"{where}: {device.key} has a passphrase: ssh-add it and leave `key:` out")
    if isinstance(error, asyncssh.KeyImportError):
        return UserError(f"{where}: {device.key or 'a key of ~/.ssh'}: not a private key ({error})")
    refused = f"the key {device.key} is not" if device.key else "none of the ssh-agent's and ~/.ssh's keys is"
    return KeyRefused(
        f"{where}: {refused} accepted at {device.address}; give the right `key:`, or bring the public key "
        f"there: ssh-copy-id {' '.join(_ssh_arguments(device, copy_key=True))}"
    )


def _system_error(error: Exception, device: Device) -> HatError:
    where, address = device.label, device.address
    if isinstance(error, socket.gaierror):
        return Unreachable(f"{where}: no host is called {address_of(device).host} ({error.strerror})")
    if isinstance(error, TimeoutError):
        return Unreachable(f"{where}: {address} does not answer; is it switched on and on this network?")
    if isinstance(error, ConnectionRefusedError):
        return Unreachable(f"{where}: {address} refuses the connection; does an SSH server run at this port?")
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError) and error.filename:
        return UserError(f"{where}: {error.filename}: {error.strerror}")
    return Unreachable(f"{where}: {address} cannot be reached: {getattr(error, 'strerror', None) or error}")


def unknown_host_key(device: Device, key: asyncssh.SSHKey) -> HostKeyRefused:
    """The error for a host of which no key is known: the way to compare and accept its key."""
    kind = key.get_algorithm().removeprefix("ssh-").partition("-")[0]
    return HostKeyRefused(
        f"{device.label}: the host key of {device.address} is not in {known_hosts_file(device)}. It is "
        f"{_fingerprint(key)}: compare that with `ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub` run on "
        f"the device, then accept it with `ssh {' '.join(_ssh_arguments(device))} true`"
    )


def changed_host_key(device: Device, key: asyncssh.SSHKey) -> HostKeyRefused:
    """The error for a host of which another key is known."""
    file, address = known_hosts_file(device), address_of(device)
    host = address.host if address.port == DEFAULT_PORT else f"[{address.host}]:{address.port}"
    return HostKeyRefused(
        f"{device.label}: the host key of {address} is NOT the one in {file}: it is {_fingerprint(key)} "
        "now. Somebody may have put another machine in its place; if it was installed anew, forget the old "
        f"key: ssh-keygen -f {shlex.quote(str(file))} -R {shlex.quote(host)}"
    )


def _fingerprint(key: asyncssh.SSHKey) -> str:
    """A key's fingerprint and kind, as ssh-keygen shows them."""
    return f"{key.get_fingerprint()} ({key.get_algorithm()})"


def _ssh_arguments(device: Device, copy_key: bool = False) -> list[str]:
    """The arguments with which `ssh` (or `ssh-copy-id`) reaches the device."""
    address = address_of(device)
    port = ["-p", str(address.port)] if address.port != DEFAULT_PORT else []
    hosts = ["-o", f"UserKnownHostsFile={device.known_hosts}"] if device.known_hosts else []
    key = ["-i", str(device.key)] if device.key and copy_key else []
    user = f"{address.user}@" if address.user else ""
    return [shlex.quote(part) for part in (*port, *hosts, *key, user + address.host)]
