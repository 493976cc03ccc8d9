"""Devices over SSH that stop, hang, flood and lie; and what their Pythons may import."""

from dataclasses import replace
from pathlib import Path

import pytest

from hat.errors import HatError
from hat.hardware.device.link import BadAnswer, LinkLost, NoAnswer
from hat.hardware.device.ssh import connection as ssh_connection
from hat.hardware.device.ssh.connection import Connection
from hat.hardware.device.ssh.installation import install
from hat.hardware.device.ssh.link import SshLink
from tests.hardware.rig import Rig, eventually
from tests.hardware.wheel import write_wheel


def test_a_stopped_agent_is_given_up_and_ended(rig: Rig) -> None:
    with SshLink(rig.device) as link:
        before = link.ask({"op": "hello"})
        with pytest.raises(NoAnswer) as lost:
            link.ask({"op": "stop"}, 2)
        told = "device pi does not answer: no reply to 'stop' within 2 s; its last message is: "
        assert str(lost.value) == rf"{told}about to stop \x1b[31m"
        assert eventually(lambda: before["pid"] not in [process.pid for process in rig.processes()])
        assert not Path(before["folder"]).exists()
        with pytest.raises(LinkLost, match="no connection"):
            link.ask({"op": "hello"})
        link.reopen()
        assert link.ask({"op": "hello"})["pid"] != before["pid"]
    assert rig.nothing_left()


def test_an_agent_may_complain_a_lot(rig: Rig) -> None:
    with SshLink(rig.device) as link:
        for _ in range(2):
            assert link.ask({"op": "complain"}, 60)["pid"]
        assert link._process
        assert 0 < len(link._process.errors) <= 2**13


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("null", "device pi answered None, not a mapping"),
        ("[" * 5000, "device pi did not answer in JSON .*nested deeper"),
        ('{"error": ["x"]}', r"device pi answered with an error that is \['x'\]"),
    ],
)
def test_other_output_than_an_answer_is_refused(rig: Rig, text: str, message: str) -> None:
    with SshLink(rig.device) as link, pytest.raises(BadAnswer, match=message):
        link.ask({"op": "say", "text": text})


def test_a_line_without_end_is_refused(rig: Rig) -> None:
    with (
        SshLink(rig.device) as link,
        pytest.raises(BadAnswer, match="pi printed more than 1,048,576 characters"),
    ):
        link.ask({"op": "endless"})
    assert rig.nothing_left()


@pytest.mark.parametrize(
    "answer",
    [
        "null",
        "[]",
        "",
        '{"python": [3, 12]}',
        '{"python": "3.12", "machine": "", "hat": null}',
        '{"python": [3, 12, 1], "machine": "", "hat": null}',
        '{"python": [3, NaN], "machine": "", "hat": null}',
        '{"python": [3, 12], "machine": 7, "hat": null}',
        '{"python": [3, 12], "machine": "", "hat": ["0.1"]}',
        "[" * 2000,
    ],
)
def test_a_python_that_tells_nonsense_is_refused(rig: Rig, answer: str) -> None:
    odd = rig.program("odd", f"echo '{answer}\x1b[31m'; exit")
    with pytest.raises(HatError, match="device pi: its Python printed no version, but: ") as refused:
        SshLink(replace(rig.device, python=odd))
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300


def test_a_device_that_prints_without_end_is_refused(rig: Rig) -> None:
    endless = rig.program("endless", "exec yes")
    with pytest.raises(BadAnswer, match="device pi printed more than"):
        SshLink(replace(rig.device, python=endless))
    assert rig.nothing_left()


def test_a_script_that_hangs_is_given_up(rig: Rig) -> None:
    with (
        Connection(rig.device) as connection,
        pytest.raises(NoAnswer, match=r"pi: ssh://.* does not answer within"),
    ):
        connection.run(f"sh -c 'sleep 60; : {rig.folder}'", 0.5)
    assert rig.nothing_left()


def test_a_python_that_is_stopped_is_given_up_and_ended(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_connection, "START_SECONDS", 2)
    stopped = rig.program("stopped", "kill -STOP $$")
    with pytest.raises(NoAnswer):
        SshLink(replace(rig.device, python=stopped))
    assert rig.nothing_left()


def test_each_python_there_starts_isolated_in_a_private_folder(rig: Rig, tmp_path: Path) -> None:
    seen = rig.folder / "seen"
    look = f'echo "$PYTHONSAFEPATH $(stat -c %a .) $(pwd) $(ls | tr -d "\\n") $1" >>{seen}'
    python = rig.program(
        "looking", f'{look}; [ "$*" = "-P -m hat.hardware.agent" ] && set -- -c "import sys; input()"'
    )
    with pytest.raises(LinkLost), SshLink(replace(rig.device, python=python)) as link:
        link.ask({"op": "hello"}, 10)
    device = replace(rig.device, python=python, wheel=write_wheel(tmp_path))
    with Connection(device) as connection:
        assert install(connection)
    starts = [line.split(" ") for line in seen.read_text().splitlines()]
    assert [start[-1] for start in starts] == ["-c", "-P", "-c", "-m"]
    for safe, mode, folder, files, argument in starts:
        assert (safe, mode) == ("1", "700")
        if argument == "-m":
            assert folder == str(rig.folder / "cache/hat/incoming")
        else:
            assert folder.startswith(str(rig.folder / "tmp/hat-"))
            assert files == ""
    assert rig.nothing_left()
