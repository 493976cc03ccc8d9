"""The installation of HAT on a device."""

from dataclasses import replace
from pathlib import Path

import pytest

from hat import __version__
from hat.errors import HatError, UserError
from hat.hardware import Device
from hat.hardware.device.ssh.connection import Connection, Finished
from hat.hardware.device.ssh.installation import Interpreter, failure, install
from hat.hardware.device.ssh.link import SshLink
from tests.hardware.rig import Rig
from tests.hardware.wheel import write_wheel

BASE = Interpreter((3, 11), "aarch64", None)


def test_installs_once(rig: Rig, tmp_path: Path) -> None:
    device = replace(rig.device, wheel=write_wheel(tmp_path))
    with Connection(device) as connection:
        assert install(connection)
        assert not install(connection)
    [environment] = (rig.folder / "cache" / "hat").iterdir()
    assert environment.name == f"venv-{__version__}"
    other = write_wheel(tmp_path, "cp311-cp311-manylinux_2_34_s390x")
    with Connection(replace(device, wheel=other)) as connection:
        expected = "s390x.whl is for cp311-cp311-manylinux_2_34_s390x, the device is .* with Python 3"
        with pytest.raises(UserError, match=expected):
            install(connection)
    with SshLink(device) as link:
        assert link.ask({"op": "hello"})["pid"]
    assert rig.nothing_left()


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("ERROR: Could not install: [Errno 28] No space left on device: '/x'", "the disk is full there"),
        ("Error: Command '… -m ensurepip' returned non-zero", "its Python has no venv; on Debian"),
        ("ERROR: No matching distribution found for numpy>=1.26", "pip there cannot get what hat.whl"),
        ("something else\nthat went wrong", "installed there: that went wrong"),
    ],
)
def test_a_failed_installation_is_explained(said: str, meaning: str) -> None:
    error = failure(Finished(1, "", said), Device("pi", wheel=Path("hat.whl")), BASE)
    assert str(error).startswith("device pi: HAT cannot be installed there: ")
    assert meaning in str(error)
    assert error.exit_code == HatError.exit_code


def test_names_of_wheels(rig: Rig, tmp_path: Path) -> None:
    for name, expected in (
        ("hat.whl", "hat.whl is not named like a wheel of HAT"),
        ("hardware_aware_transformers-0.0.1-py3-none-any.whl", f"is of version 0.0.1, this is {__version__}"),
        (f"hardware_aware_transformers-{__version__}-py3-none-any.whl", "any.whl: No such file"),
    ):
        device = replace(rig.device, wheel=tmp_path / name)
        with Connection(device) as connection, pytest.raises(UserError, match=expected):
            install(connection)


def test_an_interrupted_installation_ends(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = rig.program("slow", f'[ "$1 $2" = "-m venv" ] && sh -c "mkdir -p $3; sleep 60; : {rig.folder}"')
    with Connection(replace(rig.device, wheel=write_wheel(tmp_path), python=python)) as connection:
        run = connection.run
        monkeypatch.setattr(
            connection, "run", lambda script, seconds=None: run(script, 1 if "-m venv" in script else seconds)
        )
        with pytest.raises(HatError, match="does not answer"):
            install(connection)
        assert rig.nothing_left()
    assert not list((rig.folder / "cache" / "hat").iterdir())


def test_a_partial_installation_is_removed(rig: Rig, tmp_path: Path) -> None:
    python = rig.program("bare", '[ "$1 $2" = "-m venv" ] && set -- -m venv --without-pip "$3"')
    device = replace(rig.device, wheel=write_wheel(tmp_path), python=python)
    with Connection(device) as connection, pytest.raises(HatError, match="its Python has no venv; on Debian"):
        install(connection)
    assert not list((rig.folder / "cache" / "hat").iterdir())
    assert rig.nothing_left()
