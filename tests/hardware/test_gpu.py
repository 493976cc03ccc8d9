"""Measuring on a GPU through the agent, and `hat device check` of it."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hat.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer
from hat.errors import UserError
from hat.hardware import (
    Device,
    MeasurementStore,
    MeasureProtocol,
    Series,
    device_named,
    measure,
    open_bench,
)
from hat.hardware.measuring.calibration import MODEL
from tests.gpu import on_gpu

LAYERS = Encoder(32, (EncoderLayer(32, 4),)), Decoder(32, (DecoderLayer(32, 4, 4),))
SMALLER = replace(MODEL, architecture=Architecture(32, *LAYERS))


def latencies(device: Device, folder: Path) -> list[float]:
    """Milliseconds of MODEL and of a smaller one, for a source and a target of 6 tokens."""
    protocol = MeasureProtocol(
        (6,), (6,), engine="torch", accelerator=device.accelerator, beam=2, rounds=8, interval=0.5
    )
    series = Series(MeasurementStore(folder / "measured.sqlite"), "test", device.name, protocol, SMALLER)
    with open_bench(device) as bench:
        return [one.latency_ms for one in measure([MODEL, SMALLER], series, bench, seed=0)]


@on_gpu
def test_models_are_measured_on_the_gpu(tmp_path: Path) -> None:
    measured = latencies(device_named("cuda:0"), tmp_path)
    assert min(measured) > 0
    assert max(measured) < 1000


@on_gpu
def test_the_gpu_is_known_and_checked() -> None:
    command = [sys.executable, "-m", "hat.cli", "device", "check", "cuda:0", "--json"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert checked.returncode in (0, 1), checked.stderr  # 1: too noisy now
    report = json.loads(checked.stdout)
    assert torch.cuda.get_device_name(0) in report["device"]["about"]
    assert report["environment"]["gpus"]
    assert report["calibration"]["median_ms"] > 0


def test_measuring_on_a_gpu_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    gpu = Device("gpu", engine="torch", precision="float32", accelerator="cuda")
    with pytest.raises(UserError, match="no CUDA GPU") as error:
        latencies(gpu, tmp_path)
    assert "\n" not in str(error.value)
