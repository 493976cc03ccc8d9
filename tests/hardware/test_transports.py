"""The registry of transports."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hat.errors import UserError
from hat.hardware import Device, device_named
from hat.hardware.device.process import ProcessLink
from hat.hardware.device.transports import TRANSPORTS, Transport, open_link
from tests.hardware.rig import PRETEND


class PipeLink(ProcessLink):
    """A link to a pretended agent."""

    def __init__(self, device: Device, note: Callable[[str], None]) -> None:
        super().__init__((sys.executable, str(PRETEND)), f"device {device.name}")


def declare(folder: Path, keys: str) -> Path:
    file = folder / "devices.yaml"
    file.write_text(f"devices: {{box: {{address: 'pipe://box', {keys}}}}}")
    return file


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Transport:
    transport = Transport(
        form="pipe://name", parse=str, keys=("python",), link=f"{__name__}:PipeLink", extra="pipe"
    )
    monkeypatch.setitem(TRANSPORTS, "pipe", transport)
    return transport


@pytest.mark.usefixtures("pipe")
def test_an_entry_is_all_that_a_transport_needs(tmp_path: Path) -> None:
    device = device_named("box", declare(tmp_path, "python: python9"))
    link = open_link(device, lambda line: None)
    assert link.ask({"op": "hello"})["pid"]
    link.close()
    with pytest.raises(UserError, match=r"devices\.box: key is not used by pipe://name"):
        device_named("box", declare(tmp_path, "key: id"))


def test_a_library_that_is_missing_is_named_with_its_extra(
    pipe: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TRANSPORTS, "pipe", replace(pipe, link="no_such_library:Link"))
    with pytest.raises(UserError, match=r"^box: devices at pipe://name need no_such_library; pip.*\[pipe\]"):
        open_link(Device("box", "pipe://box"), lambda line: None)


def test_an_unknown_scheme_is_refused_with_the_known_forms() -> None:
    with pytest.raises(UserError, match=r"^device box: 'adb://1' is not an address; expected ssh://"):
        open_link(Device("box", "adb://1"), lambda line: None)
