"""`hat bench-engines`."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from tests.cli.conftest import ARCHITECTURE, Hat

QUICK = ("--runs", 2, "--steps", 3, "--source-length", 4)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "arch.yaml"
    path.write_text(yaml.safe_dump(ARCHITECTURE.to_dict()))
    return path


def test_json_of_an_architecture(hat: Hat, file: Path) -> None:
    options = ("--engines", "torch", "--threads", "1,2", "--vocab", 50, "--beam", 3, "--batch", 2, "--json")
    result = hat("bench-engines", file, *QUICK, *options)
    assert result.code == 0
    rows = json.loads(result.out)
    assert [row["threads"] for row in rows] == [1, 2]
    for row in rows:
        known = {"engine": "torch", "precision": "int8", "beam": 3, "batch": 2, "runs": 2}
        assert known.items() <= row.items()
        assert 0 < row["p10_ms"] <= row["median_ms"] <= row["p90_ms"]
        assert row["tokens_per_second"] == pytest.approx(2 * 3 * 1000 / row["median_ms"])
    assert "bench-engines: done" in result.err


def test_table_of_a_model(hat: Hat, model: Path) -> None:
    result = hat("bench-engines", model, *QUICK, "--engines", "torch", "--precision", "bfloat16")
    assert result.code == 0
    assert "bfloat16 on cpu" in result.out
    assert "torch" in result.out
    assert "float32 on cpu" in hat("bench-engines", model, *QUICK, "--engines", "torch").out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--engines", "torch,teh"), "--engines: 'teh'; the choices are native, onnxruntime, torch"),
        (("--precision", "int4"), "--precision: 'int4'; the choices are float32"),
        (("--accelerator", "tpu"), "--accelerator: 'tpu'; the choices are cpu, cuda"),
        (("--threads", "1,0"), "'0' is not a positive whole number"),
        (("--threads", "two"), "'two' is not a positive whole number"),
    ],
)
def test_wrong_options_list_the_choices(hat: Hat, file: Path, options: tuple[str, ...], message: str) -> None:
    result = hat("bench-engines", file, *options)
    assert result.code == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1


def test_wrong_sources(hat: Hat, tmp_path: Path) -> None:
    assert "neither an artefact nor a run" in hat("bench-engines", tmp_path / "absent").err
    (tmp_path / "arch.yaml").write_text("qkv_dim: 8")
    assert "missing key encoder" in hat("bench-engines", tmp_path / "arch.yaml").err


@pytest.mark.skipif(torch.cuda.is_available(), reason="here it would run")
def test_cuda_without_a_gpu(hat: Hat, file: Path) -> None:
    result = hat("bench-engines", file, *QUICK, "--vocab", 50, "--accelerator", "cuda", "--engines", "torch")
    assert result.code == 2
    assert "no CUDA GPU" in result.err
