"""The agent: what it answers, in a process of its own and without one."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hat.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer, ModelConfig
from hat.errors import UserError
from hat.hardware import MeasureProtocol
from hat.hardware.agent.requests import Agent
from hat.hardware.device.bench import AgentBench
from hat.hardware.device.link import LinkLost
from hat.hardware.device.process import LocalLink
from hat.runtime import Artefact, ArtefactConfig, installed_engine

CORES = ", ".join(map(str, sorted(os.sched_getaffinity(0))))

MEGABYTE = 2**20
CONFIG = ModelConfig(
    Architecture(32, Encoder(32, (EncoderLayer(32, 2),)), Decoder(32, (DecoderLayer(32, 2, 2),))), 50, 50
)
PROTOCOL = MeasureProtocol((5, 9), (4, 7), engine=installed_engine("auto"), warmup=1)


@pytest.fixture
def artefact(tmp_path: Path) -> Path:
    Artefact.random(CONFIG, 1).save(tmp_path / "model")
    return tmp_path / "model"


def load(**keys: Any) -> dict[str, Any]:
    return {"op": "load", "protocol": PROTOCOL.to_dict(), **keys}


def test_a_model_is_loaded_timed_and_unloaded() -> None:
    agent = Agent()
    slot = agent.answer(load(model=ArtefactConfig(CONFIG).to_dict()))["slot"]
    whole = agent.answer({"op": "time", "slot": slot})
    first = agent.answer({"op": "time", "slot": slot, "first": True})
    assert len(whole["pairs_ms"]) == len(first["pairs_ms"]) == 2
    assert sum(first["pairs_ms"]) > 0
    assert agent.answer({"op": "unload", "slot": slot}) == {}
    with pytest.raises(UserError, match="slot: 1 holds no model"):
        agent.answer({"op": "time", "slot": slot})


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ([], "expected an op of hello, load, time, unload, state"),
        ({"op": "reboot"}, "expected an op of hello"),
        ({"op": ["hello"]}, "expected an op of hello"),
        ({"op": "time", "slot": [7]}, r"slot: \[7\] holds no model"),
        ({"op": "hello", "cores": [[0]]}, r"cores: \[\[0\]\]"),
        ({"op": "time", "slot": 7}, "slot: 7 holds no model"),
        ({"op": "time", "slots": 7}, "time: unknown key slots; the known keys are op, slot, first"),
        ({"op": "hello", "cores": [9999]}, rf"cores: \[9999\]; the cores here are {CORES}$"),
        ({"op": "hello", "cores": "all"}, "cores: 'all'"),
        (load(protocol={}), "protocol: missing key source_lengths"),
        (load(model={"format": 1}), "model: missing key"),
        (load(artefact="/nowhere"), "/nowhere: not an artefact folder"),
    ],
)
def test_requests_are_read_strictly(request_: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Agent().answer(request_)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no core affinity")
def test_the_process_keeps_to_its_cores() -> None:
    core = max(os.sched_getaffinity(0))
    with LocalLink() as link:
        machine = link.ask({"op": "hello", "cores": [core]})["environment"]
        assert os.sched_getaffinity(link._child.process.pid) == {core}
    assert machine["pinned_to"] == [core]
    assert machine["cores_allowed"] == len(os.sched_getaffinity(0))


def test_the_memory_of_a_fresh_process(artefact: Path) -> None:
    ballast = bytearray(300 * MEGABYTE)
    with LocalLink() as link:
        found = AgentBench(link).peak_memory(artefact, PROTOCOL)
    assert found is not None
    assert 20 * MEGABYTE < found < len(ballast)


def test_mistakes_come_back_as_they_were(artefact: Path) -> None:
    with LocalLink() as link:
        protocol = {**PROTOCOL.to_dict(), "engine": "abacus"}
        with pytest.raises(UserError, match="no engine is called 'abacus'; the engines are"):
            link.ask({"op": "load", "artefact": str(artefact), "protocol": protocol})
        (artefact / "model.safetensors").write_bytes(b"")
        with pytest.raises(UserError, match="truncated or damaged"):
            link.ask(load(artefact=str(artefact)))


def test_a_killed_agent_is_lost_and_can_be_replaced() -> None:
    with LocalLink() as link:
        bench = AgentBench(link)
        slot, memory = bench.load(CONFIG, PROTOCOL)
        assert memory is not None
        os.kill(link._child.process.pid, signal.SIGKILL)
        with pytest.raises(LinkLost, match="the measuring process died: exit code -9"):
            bench.time(slot)
        bench.reopen()
        slot, _ = bench.load(CONFIG, PROTOCOL)
        assert len(bench.time(slot).pairs_ms) == 2


def test_the_last_words_of_a_dying_agent_are_in_the_message(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "dying").write_text("#!/bin/sh\necho out of luck >&2; exit 3\n")
    (tmp_path / "dying").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "dying"))
    with LocalLink() as link, pytest.raises(LinkLost, match="the measuring process died: out of luck"):
        link.ask({"op": "state"})


def test_an_agent_ends_where_its_input_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hat.hardware.agent"],
        input='{"op": "state"}\nnonsense\n',
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    state, error = map(json.loads, done.stdout.splitlines())
    assert state["peak_memory_bytes"] > 0
    assert error["exit_code"] == 2
    assert error["error"].startswith("request: not JSON")
    assert done.stderr == ""
