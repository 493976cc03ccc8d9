"""`hat device`."""

import json
import sys
from pathlib import Path

import pytest
import yaml

from hat import __version__
from hat.hardware.measuring.calibration import judged
from hat.hardware.protocol import MeasureProtocol
from tests.cli.conftest import Hat
from tests.hardware.rig import Rig

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in which no devices are declared."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def declare(rig: Rig, **more: object) -> None:
    address = f"ssh://127.0.0.1:{rig.server.port}"
    pi = {"address": address, "key": str(rig.device.key), "known_hosts": str(rig.known_hosts), **more}
    Path("devices.yaml").write_text(yaml.safe_dump({"devices": {"pi": pi}}))


def test_list(hat: Hat) -> None:
    Path("devices.yaml").write_text("devices: {pi: {address: 'ssh://pi@raspberrypi.local', threads: 4}}")
    result = hat("device", "list")
    assert result.code == 0
    row = next(line for line in result.out.splitlines() if "pi@" in line)
    assert [cell.strip() for cell in row.split("│")[1:-1]] == [
        *("pi", "ssh://pi@raspberrypi.local", "native", "int8", "4", "any")
    ]
    listed = json.loads(hat("device", "list", "--json").out)
    assert [device["name"] for device in listed if device["accelerator"] == "cpu"] == ["local", "pi"]


def test_show(hat: Hat) -> None:
    Path("lab.yaml").write_text("devices: {pi: {address: 'ssh://pi', wheel: hat.whl}}")
    result = hat("device", "show", "pi", "--devices", "lab.yaml")
    assert result.code == 0
    assert f"wheel          {Path.cwd()}/hat.whl" in result.out
    assert (
        json.loads(hat("device", "show", "pi", "--devices", "lab.yaml", "--json").out)["python"] == "python3"
    )
    unknown = hat("device", "show", "pi")
    assert unknown.code == 2
    assert unknown.err == "hat: error: no device is called pi; the known ones are local\n"


def test_check_of_this_machine(hat: Hat) -> None:
    pytest.importorskip("hat.runtime._native", reason="the native engine is not compiled")
    result = hat("device", "check", "local")
    noisy = "too noisy to measure" in result.out
    assert result.code == (1 if noisy else 0)
    assert f"hat            {__version__}, Python" in result.out
    assert "median of 20" in result.out


def test_check_over_ssh(hat: Hat, rig: Rig) -> None:
    pytest.importorskip("hat.runtime._native", reason="the native engine is not compiled")
    declare(rig, python=sys.executable)
    report = json.loads(hat("device", "check", "pi", "--json").out)
    assert report["device"]["name"] == "pi"
    assert report["wheel"] is None
    assert report["environment"]["hat"] == __version__
    assert len(report["calibration"]["times_ms"]) == 20
    assert rig.nothing_left()


def test_check_of_a_device_that_does_not_work(hat: Hat, rig: Rig) -> None:
    declare(rig, python="python9")
    result = hat("device", "check", "pi")
    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines()[-1].startswith("hat: error: device pi: there is no python9 there; ")
    declare(rig, python=sys.executable, engine="onnxruntime", precision="float32", wheel="absent.whl")
    assert "absent.whl is not named like a wheel of HAT" in hat("device", "check", "pi").err
    rig.server.kill()
    result = hat("device", "check", "pi")
    assert result.code == 1
    assert "refuses the connection" in result.err


def test_what_noise_means() -> None:
    protocol = MeasureProtocol((20,), (20,), rounds=30, interval=0.02)
    assert judged([10.0, 10.1] * 10, protocol).verdict == "steady"
    noisy = judged([9.6, 10.4] * 10, protocol)
    assert noisy.noise == pytest.approx(0.08)
    assert (noisy.verdict, noisy.measurable) == ("noisy", True)
    assert noisy.rounds == 128
    assert judged([9.9, 10.1] * 10, protocol).rounds == 16
    wild = judged([8.0, 12.0] * 10, protocol)
    assert (wild.verdict, wild.measurable) == ("too noisy to measure", False)
