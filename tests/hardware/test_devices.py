"""Known devices, and those declared in a file."""

import os
import sys
from pathlib import Path

import pytest

from hat.errors import UserError
from hat.hardware import Device, device_named, known_devices
from hat.hardware.device import declared as declared_module
from hat.hardware.device.ssh.address import SshAddress
from hat.hardware.device.transports import transport_of

PI = (
    "devices:\n"
    "  pi: {address: ssh://pi@raspberrypi.local:2222, key: ~/.ssh/id, threads: 4, cores: [0, 1, 2, 3],"
)


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No devices are declared, and there is no GPU."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    monkeypatch.chdir(tmp_path)


def declared(text: str, tmp_path: Path) -> dict[str, Device]:
    file = tmp_path / "lab" / "devices.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return known_devices(file)


def test_this_machine_is_always_there() -> None:
    [local] = known_devices().values()
    assert (local.name, local.address, local.accelerator, local.threads) == ("local", None, "cpu", 1)
    if hasattr(os, "sched_getaffinity"):
        assert set(local.cores) <= os.sched_getaffinity(0)
        assert local.cores


def test_one_hardware_thread_of_each_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("this system does not tell a process's cores")
    for core, siblings in enumerate(("0,2", "1,3", "0,2", "1,3")):
        (tmp_path / f"cpu{core}").write_text(siblings)
    monkeypatch.setattr(declared_module, "TOPOLOGY", f"{tmp_path}/cpu{{}}")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 2, 3, 4})
    assert known_devices()["local"].cores == (1, 2, 4)


def test_gpus(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '0, NVIDIA H100 80GB HBM3'\necho '1, NVIDIA T4'\n")
    program.chmod(0o755)
    known = known_devices()
    assert list(known) == ["local", "cuda:0", "cuda:1"]
    assert known["cuda:1"].about == "NVIDIA T4"
    assert (known["cuda:1"].gpu, known["cuda:1"].engine, known["cuda:1"].accelerator) == (1, "torch", "cuda")
    program.write_text("#!/bin/sh\necho 'no driver' >&2; exit 9\n")
    assert list(known_devices()) == ["local"]


def test_a_driver_that_hangs_or_talks_nonsense_is_no_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf 'x, \\377\\n99999999, y\\n0, N\\377\\n'\n")
    program.chmod(0o755)
    assert list(known_devices()) == ["local", "cuda:0"]
    assert known_devices()["cuda:0"].about == "N\ufffd"
    program.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    monkeypatch.setattr(sys.modules["hat.hardware.agent.environment"], "NVIDIA_SECONDS", 0.2)
    assert list(known_devices()) == ["local"]


def test_a_declared_device(tmp_path: Path) -> None:
    text = f"{PI} wheel: ../dist/hat.whl, known_hosts: hosts, precision: float32}}\n  here: {{threads: 2}}\n"
    known = declared(text, tmp_path)
    assert list(known) == ["local", "pi", "here"]
    assert known["pi"] == Device(
        "pi",
        "ssh://pi@raspberrypi.local:2222",
        key=tmp_path / "home/.ssh/id",
        known_hosts=tmp_path / "lab/hosts",
        threads=4,
        cores=(0, 1, 2, 3),
        wheel=tmp_path / "lab/../dist/hat.whl",
        precision="float32",
    )
    assert known["here"] == Device("here", threads=2)
    shown = known["pi"].to_dict()
    assert shown["address"] == "ssh://pi@raspberrypi.local:2222"
    assert shown["key"] == str(tmp_path / "home/.ssh/id")


def test_where_devices_are_declared(tmp_path: Path) -> None:
    there = tmp_path / "home/.config/hat/devices.yaml"
    there.parent.mkdir(parents=True)
    there.write_text("devices: {far: {address: 'ssh://far'}}")
    assert list(known_devices()) == ["local", "far"]
    Path("devices.yaml").write_text("devices: {near: {address: 'ssh://near'}}")
    assert list(known_devices()) == ["local", "near"]
    with pytest.raises(UserError, match=r"other\.yaml: No such file"):
        known_devices(Path("other.yaml"))
    with pytest.raises(UserError, match="no device is called far; the known ones are local, near"):
        device_named("far")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ssh://h", SshAddress("h")),
        ("ssh://me@h:22", SshAddress("h", 22, "me")),
        ("ssh://[::1]:2200", SshAddress("::1", 2200)),
        ("ssh://h/", SshAddress("h")),
    ],
)
def test_addresses(text: str, expected: SshAddress) -> None:
    assert SshAddress.parse(text) == SshAddress.parse(str(expected)) == expected
    assert transport_of(text, "x")[1] == str(expected)


@pytest.mark.parametrize(
    "text",
    [
        *("h", "me@h", "http://h", "ssh://", "ssh://h:0", "ssh://h:port", "ssh://h:99999", "ssh://h/there"),
        *("ssh://@h", "ssh://h?x=1", "ssh://h h", "ssh://[::1", "ssh://h\n", 7, ["ssh://h"]),
    ],
)
def test_other_texts_are_refused_as_addresses(text: object) -> None:
    with pytest.raises(UserError, match=r"x: .* is not an address; expected ssh://user@host:port"):
        transport_of(text, "x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "expected a mapping with the keys devices"),
        ("devices: [pi]", "devices: expected a mapping of names to devices"),
        ("device: {}", "unknown key device; the known keys are devices"),
        ("devices:\n  pi: {}\n  pi: {}", r"devices\.yaml:3: the key pi twice"),
        ("devices: {pi: }", r"devices\.pi: expected a mapping"),
        ("devices: {'a b': {}}", r"devices\.a b: a device's name consists of"),
        ("devices: {'cuda:0': {}}", r"devices\.cuda:0: a device's name consists of"),
        ("devices: {7: {}}", r"devices\.7: a device's name consists of"),
        ("devices: {local: {}}", r"devices\.local: is this machine's processor already"),
        ("devices: {pi: {colour: red}}", r"devices\.pi: unknown key colour; the known keys are address, key"),
        ("devices: {pi: {adress: x}}", r"devices\.pi: unknown key adress"),
        ("devices: {pi: {address: pi}}", r"devices\.pi: address: 'pi' is not an address"),
        ("devices: {pi: {address: 'ssh://a:b@h'}}", r"devices\.pi: address: passwords are not used"),
        ("devices: {pi: {key: id, python: p}}", r"devices\.pi: key, python without an address"),
        ("devices: {pi: {engine: abacus}}", r"pi: engine: 'abacus'; the choices are native, onnxruntime"),
        ("devices: {pi: {engine: [native]}}", r"devices\.pi: engine: \['native'\]; the choices are"),
        ("devices: {pi: {precision: int4}}", r"pi: precision: 'int4'; the choices are float32, bfloat16"),
        ("devices: {pi: {accelerator: tpu}}", r"devices\.pi: accelerator: 'tpu'; the choices are cpu, cuda"),
        ("devices: {pi: {accelerator: cuda, engine: native}}", "native does not run on a GPU"),
        ("devices: {pi: {threads: 0}}", r"devices\.pi: threads: 0 is not a positive whole number"),
        ("devices: {pi: {threads: yes}}", r"devices\.pi: threads: True is not a positive"),
        ("devices: {pi: {cores: 3}}", r"devices\.pi: cores: 3 is not a list of core numbers"),
        ("devices: {pi: {cores: [0, 0]}}", r"pi: cores: \[0, 0\] is not a list of different core numbers"),
        ("devices: {pi: {cores: [[0]]}}", r"pi: cores: \[\[0\]\] is not a list of different core numbers"),
        ("devices: {pi: {cores: [0], threads: 2}}", r"devices\.pi: cores: 1 for 2 threads"),
        ("devices: {pi: {gpu: -1}}", r"devices\.pi: gpu: -1 is not the number of a GPU"),
        ("devices: {pi: {address: 'ssh://h', key: 7}}", r"devices\.pi: key: 7 is not a text"),
        ("devices: {pi: {address: 'ssh://h', python: ''}}", r"devices\.pi: python: '' is not a text"),
        (
            "devices: {pi: {address: 'ssh://h', key: ~nobody-here/id}}",
            r"pi: key: '~nobody-here/id': Could not",
        ),
    ],
)
def test_mistakes_are_errors_of_one_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message) as told:
        declared(text, tmp_path)
    assert str(tmp_path / "lab" / "devices.yaml") in str(told.value)
    assert "\n" not in str(told.value)
