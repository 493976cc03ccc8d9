"""Processes that train together are killed or lose their network: what is resumed ends in the same bytes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from tests.pipeline.tiny import TINY

pytestmark = pytest.mark.slow

KILLS, UPDATES = 50, 200
SEED = time.time_ns() % 10**9
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
RECIPE = {**TINY, "super_training": {**TINY["super_training"], "updates": 60, "validate_every": 20}}
# The network is cut for so long, or a process killed, after so many updates.
CUT_SECONDS, CUT_AT = 20.0, 10
# Of each of two hosts, which are network namespaces on the two ends of a bridge.
HOSTS = (("hat-one", "10.73.19.1"), ("hat-two", "10.73.19.2"))


@pytest.mark.parametrize("processes", [1, 2])
def test_killed_fifty_times_a_training_ends_in_the_same_bytes(tmp_path: Path, processes: int) -> None:
    numbers = map(str, (processes, KILLS, UPDATES, SEED))
    command = [sys.executable, "-m", "tests.training.kills", *numbers, str(tmp_path)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (SEED, done.stderr)
    assert json.loads(done.stdout.splitlines()[-1])["kills"] == KILLS


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose text is prepared."""
    folder = tmp_path_factory.mktemp("prepared")
    recipe = folder / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(RECIPE), encoding="utf-8")
    hat("prepare", str(recipe), "--run-dir", str(folder / "run"))
    return folder / "run"


@pytest.fixture(scope="module")
def undisturbed(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The SuperTransformer of two processes."""
    run = shutil.copytree(prepared, tmp_path_factory.mktemp("undisturbed") / "run")
    hat("train-super", str(run), "--set", "super_training.processes=2")
    return model(run)


def hat(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "hat", *arguments], env=ENVIRONMENT, check=True)


def model(run: Path) -> bytes:
    (path,) = run.glob("steps/train-super/*/model.safetensors")
    return path.read_bytes()


def updates(run: Path) -> int:
    """The update that a training has come to."""
    logs = list(run.glob("steps/train-super/*/log.jsonl"))
    with suppress(ValueError, IndexError):  # a line that is being written
        return int(json.loads(logs[0].read_text().splitlines()[-1])["update"])
    return 0


def wait_for(run: Path, update: int, process: subprocess.Popen[str]) -> None:
    while updates(run) < update:
        assert process.poll() is None, "it ended before"
        time.sleep(0.05)


def children(process: int, words: str) -> list[int]:
    """The processes below one that have `words` in their command lines, in the order of their ranks."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True)
    found = []
    for line in listed.stdout.splitlines()[1:]:
        number, parent, command = line.split(maxsplit=2)
        if int(parent) == process:
            found += [int(number)] if words in command else []
            found += children(int(number), words)
    return sorted(found)


def test_a_killed_process_ends_the_training_in_one_line_and_the_same_command_goes_on(
    prepared: Path, undisturbed: bytes, tmp_path: Path
) -> None:
    run = shutil.copytree(prepared, tmp_path / "run")
    command = [sys.executable, "-m", "hat", "train-super", str(run), "--set", "super_training.processes=2"]
    training = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    wait_for(run, CUT_AT, training)
    os.kill(children(training.pid, "spawn_main")[0], signal.SIGKILL)
    errors = [line for line in training.communicate()[1].splitlines() if not line.startswith("train-super: ")]
    assert errors == [
        "hat: error: one of the 2 processes of the training has ended or cannot be reached; the same command "
        "goes on from the last checkpoint"
    ]
    assert training.returncode == 1
    subprocess.run(command, env=ENVIRONMENT, check=True)
    assert model(run) == undisturbed


@pytest.mark.parametrize("rank", [0, 1])
def test_torchrun_restarts_a_training_of_which_a_process_was_killed(
    prepared: Path, undisturbed: bytes, tmp_path: Path, rank: int
) -> None:
    run = shutil.copytree(prepared, tmp_path / "run")
    launched = torchrun("--standalone", "--nproc-per-node=2", "--max-restarts=1", run=run)
    wait_for(run, CUT_AT, launched)
    os.kill(children(launched.pid, "-m hat")[rank], signal.SIGKILL)
    assert launched.wait() == 0
    assert model(run) == undisturbed


def torchrun(*options: str, run: Path, within: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", *options, "-m", "hat", "train-super", str(run)]
    return subprocess.Popen([*within, *command], env=ENVIRONMENT, text=True)


@pytest.fixture
def hosts() -> Iterator[None]:
    """Two hosts on a bridge: network namespaces."""
    commands = ["link add hat-bridge type bridge", "link set hat-bridge up"]
    for host, address in HOSTS:
        commands += [
            f"netns add {host}",
            f"link add {host}-port type veth peer name eth0 netns {host}",
            f"link set {host}-port master hat-bridge up",
            f"-n {host} address add {address}/24 dev eth0",
            f"-n {host} link set eth0 up",
            f"-n {host} link set lo up",
        ]
    try:
        if shutil.which("ip") is None:
            pytest.skip("there is no command ip to make network namespaces with")
        for command in commands:
            done = subprocess.run(["ip", *command.split()], capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"this machine does not allow `ip {command}`: {done.stderr.strip()}")
        yield
    finally:
        if shutil.which("ip"):
            for command in ("link del hat-bridge", *(f"netns del {host}" for host, _ in HOSTS)):
                subprocess.run(["ip", *command.split()], capture_output=True, check=False)


def on_both_hosts(run: Path, restarts: int) -> list[subprocess.Popen[str]]:
    options = (
        "--nnodes=2",
        "--nproc-per-node=1",
        f"--max-restarts={restarts}",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={HOSTS[0][1]}:29519",
    )
    return [
        torchrun(
            *options,
            f"--local-addr={address}",
            f"--rdzv-conf=is_host={int(host == HOSTS[0][0])}",  # both namespaces have the machine's name
            run=run,
            within=("ip", "netns", "exec", host, "env", "GLOO_SOCKET_IFNAME=eth0"),
        )
        for host, address in HOSTS
    ]


def test_two_hosts_train_on_after_their_network_was_cut(
    hosts: None, prepared: Path, undisturbed: bytes, tmp_path: Path
) -> None:
    run = shutil.copytree(prepared, tmp_path / "run")
    launched = on_both_hosts(run, restarts=0)
    wait_for(run, CUT_AT, launched[0])
    subprocess.run(["bridge", "link", "set", "dev", "hat-two-port", "state", "0"], check=True)
    time.sleep(CUT_SECONDS / 2)
    stuck = updates(run)
    time.sleep(CUT_SECONDS / 2)
    assert updates(run) == stuck < 60, "the network was not cut"
    subprocess.run(["bridge", "link", "set", "dev", "hat-two-port", "state", "3"], check=True)
    assert [one.wait() for one in launched] == [0, 0]
    assert model(run) == undisturbed


def test_two_hosts_restart_after_a_process_was_killed(
    hosts: None, prepared: Path, undisturbed: bytes, tmp_path: Path
) -> None:
    run = shutil.copytree(prepared, tmp_path / "run")
    launched = on_both_hosts(run, restarts=2)
    wait_for(run, CUT_AT, launched[0])
    os.kill(children(launched[1].pid, "-m hat")[-1], signal.SIGKILL)
    assert [one.wait() for one in launched] == [0, 0]
    assert model(run) == undisturbed
