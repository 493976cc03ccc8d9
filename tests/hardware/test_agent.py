"""Measuring a deployed artefact in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hat.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer, ModelConfig
from hat.errors import HatError, UserError
from hat.hardware import MeasureProtocol, peak_memory
from hat.hardware.fresh_process import ask
from hat.runtime import Artefact

MEGABYTE = 2**20


@pytest.fixture
def artefact(tmp_path: Path) -> Path:
    architecture = Architecture(
        32, Encoder(32, (EncoderLayer(32, 2),)), Decoder(32, (DecoderLayer(32, 2, 2),))
    )
    Artefact.random(ModelConfig(architecture, 50, 50), 1).save(tmp_path / "model")
    return tmp_path / "model"


def test_peak_memory_and_latency_of_an_artefact(artefact: Path) -> None:
    pytest.importorskip("torch")
    found = ask(artefact, MeasureProtocol((5,), (4,), warmup=1, rounds=3))
    assert len(found["latency_ms"]) == 3
    assert 0 < min(found["latency_ms"]) < 1000
    assert 50 * MEGABYTE < found["peak_memory_bytes"] < 2000 * MEGABYTE


def test_mistakes_come_back_as_they_were(artefact: Path) -> None:
    with pytest.raises(UserError, match="no engine is called 'abacus'; the engines are"):
        peak_memory(artefact, "abacus", 1, [(5, 4)])
    (artefact / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="truncated or damaged"):
        peak_memory(artefact, "torch", 1, [(5, 4)])


def test_a_process_that_dies_is_reported(
    artefact: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "dying").write_text("#!/bin/sh\necho out of luck >&2; exit 3\n")
    (tmp_path / "dying").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "dying"))
    with pytest.raises(HatError, match="the measuring process died: out of luck"):
        peak_memory(artefact, "torch", 1, [(5, 4)])


def test_the_agent_reads_strictly() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hat.hardware.agent"],
        input='{"artefact": "/nowhere"}',
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(done.stdout) == {"error": "request: missing key protocol", "exit_code": 2}
    assert done.stderr == ""


def test_the_memory_of_the_parent_does_not_count() -> None:
    ballast = bytearray(300 * MEGABYTE)
    code = "from hat.hardware.environment import peak_resident_bytes; print(peak_resident_bytes())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert int(done.stdout) < len(ballast)
