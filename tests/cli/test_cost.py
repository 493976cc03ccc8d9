"""`hat cost`."""

import json
from pathlib import Path

import pytest
import yaml

from hat.architecture import Architecture, ModelConfig, artefact_bytes, cost
from hat.interop import architecture_to_reference
from hat.zoo import published_models
from tests.cli.conftest import ARCHITECTURE, Hat


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "arch.yaml"
    path.write_text(yaml.safe_dump(ARCHITECTURE.to_dict()))
    return path


def test_json_of_a_published_model(hat: Hat, tmp_path: Path) -> None:
    published = published_models()[0]
    path = tmp_path / "model.json"
    path.write_text(json.dumps(published))
    figures = json.loads(hat("cost", path, "--json").out)
    assert figures["parameters"] == published["params"]
    assert figures["flops"] == published["flops"]
    assert figures["bytes_with_embeddings"] is None


def test_bytes(hat: Hat, file: Path) -> None:
    arguments = ("cost", file, "--vocab", 100, "--untied", "--precision", "int8", "--length", 7)
    figures = json.loads(hat(*arguments, "--json").out)
    without, whole = artefact_bytes(ModelConfig(ARCHITECTURE, 100, 100, embeddings="separate"), "int8")
    assert figures["bytes_without_embeddings"] == without
    assert figures["bytes_with_embeddings"] == whole == without + 3 * 100 * 8
    assert figures["flops"] == cost(ARCHITECTURE, 7).flops
    assert f"{whole:,}" in hat(*arguments).out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "arch.yaml: No such file"),
        ("qkv_dim: 8", "missing key encoder, decoder"),
        ("{", "arch.yaml:"),
        ("\0", "arch.yaml:"),
    ],
)
def test_bad_files(hat: Hat, tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "arch.yaml"
    if content is not None:
        path.write_text(content)
    result = hat("cost", path)
    assert result.code == 2
    assert result.err.startswith("hat: error: ")
    assert message in result.err
    assert len(result.err.splitlines()) == 1


def test_bad_options(hat: Hat, file: Path) -> None:
    assert "the choices are float32" in hat("cost", file, "--precision", "float7").err
    assert hat("cost", file, "--vocab", 0).code == 2
    assert hat("cost").code == 2


def test_the_architectures_of_the_published_codes_logs_cost_the_same(hat: Hat, tmp_path: Path) -> None:
    architecture = Architecture.from_dict(published_models()[0]["architecture"])
    own, logged = tmp_path / "own.yaml", tmp_path / "search.log"
    own.write_text(yaml.safe_dump(architecture.to_dict()))
    fields = architecture_to_reference(architecture)
    logged.write_text(f"| Iteration 0, Lowest loss: 4.2\n| Config for lowest loss model: {fields}\n")
    assert hat("cost", logged, "--json").out == hat("cost", own, "--json").out
