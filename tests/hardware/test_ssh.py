"""Devices over SSH, against a real server on loopback."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest

from hat import __version__
from hat.errors import HatError, UserError
from hat.hardware.device.link import LinkLost
from hat.hardware.device.ssh import connection as ssh_connection
from hat.hardware.device.ssh import link as ssh
from hat.hardware.device.ssh.connection import Connection
from hat.hardware.device.ssh.errors import HostKeyRefused, KeyRefused, Unreachable
from hat.hardware.device.ssh.link import SshLink
from tests.hardware.rig import PRETEND, Rig, eventually
from tests.hardware.ssh_server import NAMESPACE


def test_asks_copies_and_leaves_nothing(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "model" / "tokenizer").mkdir(parents=True)
    (tmp_path / "model" / "tokenizer" / "joint.model").write_bytes(b"\0" * 100_000)
    with SshLink(rig.device) as link:
        first = link.ask({"op": "hello"})
        assert link.ask({"op": "hello"}) == first
        assert Path(first["folder"]).stat().st_mode & 0o777 == 0o700
        with pytest.raises(UserError, match="abacus"):
            link.ask({"op": "refuse"})
        there = link.put(tmp_path / "model")
        assert link.put(tmp_path / "model") != there
        files = link.ask({"op": "list", "folder": there})["files"]
        assert files == [f"{there}/tokenizer", f"{there}/tokenizer/joint.model"]
        assert (Path(there) / "tokenizer/joint.model").read_bytes() == b"\0" * 100_000
    assert not rig.left()


def test_the_real_agent(rig: Rig) -> None:
    with SshLink(replace(rig.device, python=sys.executable)) as link:
        assert link.ask({"op": "hello"})["environment"]["hat"] == __version__
        with pytest.raises(UserError, match="slot"):
            link.ask({"op": "time", "slot": 7})
    assert rig.nothing_left()


def test_a_python_below_the_home(rig: Rig) -> None:
    with Connection(rig.device) as connection:
        home = Path(connection.run('echo "$HOME"').out.strip())
    below = os.path.relpath(rig.device.python, home)
    for python in (below, f"~/{below}"):
        with SshLink(replace(rig.device, python=python)) as link:
            assert link.ask({"op": "hello"})


def test_two_links_do_not_disturb_each_other(rig: Rig) -> None:
    with SshLink(rig.device) as one:
        with SshLink(rig.device) as other:
            assert one.ask({"op": "hello"})["folder"] != other.ask({"op": "hello"})["folder"]
        assert one.ask({"op": "hello"})


def test_wrong_key(rig: Rig, tmp_path: Path) -> None:
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(tmp_path / "other")
    with pytest.raises(KeyRefused, match=r"the key .*/other is not accepted at ssh://127.*ssh-copy-id -p"):
        SshLink(replace(rig.device, key=tmp_path / "other"))
    with pytest.raises(UserError, match=r"device pi: .*absent: No such file"):
        SshLink(replace(rig.device, key=tmp_path / "absent"))
    (tmp_path / "text").write_text("not a key")
    with pytest.raises(UserError, match="text: not a private key"):
        SshLink(replace(rig.device, key=tmp_path / "text"))


def test_a_key_with_a_passphrase(rig: Rig, tmp_path: Path) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(tmp_path / "locked", "pkcs8-pem", passphrase="secret")
    with pytest.raises(UserError, match="locked has a passphrase: ssh-add it"):
        SshLink(replace(rig.device, key=tmp_path / "locked"))


def test_unknown_host_key(rig: Rig) -> None:
    key = asyncssh.import_public_key(rig.server.host_key).get_fingerprint()
    for text in (
        None,
        "",
        f"127.0.0.1 {asyncssh.generate_private_key('ssh-rsa').export_public_key().decode()}",
    ):
        rig.known_hosts.unlink(missing_ok=True)
        if text is not None:
            rig.known_hosts.write_text(text)
        with pytest.raises(HostKeyRefused) as refused:
            SshLink(rig.device)
        assert f"is not in {rig.known_hosts}. It is {key}" in str(refused.value)
        accept = f"`ssh -p {rig.server.port} -o UserKnownHostsFile={rig.known_hosts} 127.0.0.1 true`"
        assert str(refused.value).endswith(f"accept it with {accept}")


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256"])
def test_changed_host_key(rig: Rig, kind: str) -> None:
    rig.server.kill()
    rig.server.new_host_key(kind)
    rig.server.start()
    with pytest.raises(HostKeyRefused, match=r"is NOT the one in .*known_hosts.*ssh-keygen -f .* -R '\[127"):
        SshLink(rig.device)


def test_damaged_known_hosts(rig: Rig) -> None:
    rig.known_hosts.write_text("127.0.0.1\n")
    with pytest.raises(UserError, match=r"device pi: .*known_hosts: "):
        SshLink(rig.device)


def test_nobody_answers(rig: Rig) -> None:
    rig.server.kill()
    with pytest.raises(Unreachable, match="refuses the connection; does an SSH server run"):
        SshLink(rig.device)
    rig.server.start()
    with pytest.raises(Unreachable, match=r"no host is called no\.such\.invalid"):
        SshLink(replace(rig.device, address="ssh://no.such.invalid"))


def test_pythons_that_do_not_do(rig: Rig) -> None:
    def refusal(python: str) -> str:
        with pytest.raises(UserError) as refused:
            SshLink(replace(rig.device, python=python))
        return str(refused.value)

    assert refusal("python9") == (
        "device pi: there is no python9 there; install Python 3.11 or newer, or give its path as `python:`"
    )
    old = rig.program("old", """echo '{"python": [3, 9], "machine": "armv7l", "hat": null}'; exit""")
    assert "old there is Python 3.9; HAT needs 3.11 or newer" in refusal(old)
    bare = rig.program("bare", 'set -- -S -E "$@"; cd /')
    assert "bare there has no HAT; install" in refusal(bare)
    other = rig.program("other", """echo '{"python": [3, 12], "machine": "", "hat": "0.0.1"}'; exit""")
    assert f"HAT 0.0.1 there, {__version__} here" in refusal(other)
    with pytest.raises(UserError, match="HAT is not installed there; `hat device check pi` does it"):
        SshLink(replace(rig.device, wheel=Path("hat.whl")))
    assert rig.nothing_left()


def test_a_program_that_is_no_python_is_refused(rig: Rig) -> None:
    with pytest.raises(HatError, match="device pi: its Python does not run: out of order"):
        SshLink(replace(rig.device, python=rig.program("broken", "echo out of order >&2; exit 1")))


def test_an_agent_that_dies(rig: Rig) -> None:
    with SshLink(rig.device) as link:
        with pytest.raises(LinkLost, match="device pi: the agent there ended: MemoryError: it was too much"):
            link.ask({"op": "die"})
        with pytest.raises(LinkLost, match="no connection"):
            link.ask({"op": "hello"})
        link.reopen()
        result = rig.asking(link)
        [agent] = [process for process in rig.processes() if str(PRETEND) in process.cmdline()]
        agent.kill()
        assert "pi: the agent there was killed, which the system does when memory is full" in str(result())
        link.reopen()
        assert link.ask({"op": "hello"})["pid"] != agent.pid
    assert rig.nothing_left()


def test_a_lost_connection(rig: Rig) -> None:
    notes: list[str] = []
    with SshLink(rig.device, notes.append) as link:
        before = link.ask({"op": "hello"})
        result = rig.asking(link)
        rig.server.kill()
        lost = result()
        assert isinstance(lost, LinkLost)
        assert "connection to ssh://127.0.0.1" in str(lost)
        threading.Timer(0.5, rig.server.start).start()
        link.reopen()
        assert "refuses the connection" in notes[0]
        assert "trying again in" in notes[0]
        after = link.ask({"op": "hello"})
        assert after["folder"] != before["folder"]
        # The first agent was in the middle of its work: it must not go on beside the second.
        assert before["pid"] not in [process.pid for process in rig.processes()]
        assert not Path(before["folder"]).exists()
    assert rig.nothing_left()


def test_a_device_that_falls_silent(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_connection, "KEEPALIVE_SECONDS", 0.1)
    with SshLink(rig.device) as link:
        with rig.server.silence(), pytest.raises(LinkLost, match="the connection to ssh://127"):
            link.ask({"op": "hello"})
        link.reopen()
        assert link.ask({"op": "hello"})
    assert rig.nothing_left()


def test_a_reboot(rig: Rig) -> None:
    with SshLink(rig.device) as link:
        folder = Path(link.ask({"op": "hello"})["folder"])
        for process in rig.processes():
            process.kill()
        rig.server.kill()
        folder.mkdir(exist_ok=True)  # on a disk that outlasts the reboot
        rig.server.start()
        with pytest.raises(LinkLost):
            link.ask({"op": "hello"})
        link.reopen()
        assert not folder.exists()
        link.ask({"op": "hello"})
    assert rig.nothing_left()


def test_reopening_gives_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "REOPEN_SECONDS", 0.2)
    with SshLink(rig.device) as link:
        rig.server.kill()
        with pytest.raises(Unreachable):
            link.reopen()
        rig.server.new_host_key()
        rig.server.start()
        with pytest.raises(HostKeyRefused):
            link.reopen()
    assert rig.nothing_left()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_stopped_in_the_middle(rig: Rig, stop: signal.Signals) -> None:
    code = (
        "import signal\n"
        # Where the tests run in the background, children begin with SIGINT ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from pathlib import Path\n"
        "from hat.hardware import Device\n"
        "from hat.hardware.device.ssh.link import SshLink\n"
        f"device = Device('pi', '{rig.device.address}', key=Path('{rig.device.key}'),\n"
        f"    known_hosts=Path('{rig.known_hosts}'), python='{rig.device.python}')\n"
        "with SshLink(device) as link:\n"
        "    link.ask({'op': 'hello'})\n"
        "    print('ready', flush=True)\n"
        f"    link.ask({{'op': 'wait' if {stop} == {signal.SIGINT} else 'hello'}})\n"
        "    input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as measuring:
        assert measuring.stdout
        assert measuring.stderr
        measuring.stdout.readline()
        if stop == signal.SIGINT:
            assert eventually(lambda: any((rig.folder / "tmp").glob("hat-*/busy")))
        measuring.send_signal(stop)
        said = measuring.stderr.read().decode()
    assert rig.nothing_left()
    assert said.strip().splitlines()[-1:] == (["KeyboardInterrupt"] if stop == signal.SIGINT else [])


def test_a_full_disk(tmp_path: Path) -> None:
    mount = [*NAMESPACE, "mount", "-t", "tmpfs", "none", str(tmp_path)]
    if not shutil.which("unshare") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no small file system can be mounted here")
    rig = Rig(tmp_path, quota=100_000)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(os.urandom(300_000))
    try:
        with SshLink(rig.device) as link:
            expected = "the disk is full there: model needs 300,000 bytes and .* has [0-9,]* free"
            with pytest.raises(HatError, match=expected):
                link.put(tmp_path / "model")
            assert link.ask({"op": "list", "folder": "."})["files"] == []
    finally:
        rig.server.kill()
    assert rig.nothing_left()
