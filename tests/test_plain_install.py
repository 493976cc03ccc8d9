"""A fresh environment with the plain install: no torch, and an exported model translates."""

import os
import subprocess
import venv
from dataclasses import replace
from pathlib import Path

import pytest

from hat.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer, ModelConfig
from hat.runtime import Artefact, TokenizerConfig, Translator
from tests.runtime.tiny_tokenizer import LINES, VOCAB, train_tokenizer

pytest.importorskip("hat.runtime._native", reason="the native engine is not built")

ROOT = Path(__file__).resolve().parents[1]
TRANSLATE = ("--engine", "native", "--threads", "1", "--max-length", "20")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The folder of a small int8 artefact."""
    architecture = Architecture(
        16, Encoder(16, (EncoderLayer(24, 2), EncoderLayer(32, 4))), Decoder(16, (DecoderLayer(24, 2, 4, 2),))
    )
    artefact = Artefact.random(ModelConfig(architecture, VOCAB, VOCAB), 1, "int8")
    train_tokenizer(tmp_path / "joint.model")
    config = replace(artefact.config, tokenizer=TokenizerConfig())
    replace(artefact, config=config, tokenizer_folder=tmp_path).save(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The programs' folder of a new environment that holds HAT and what it depends on."""
    venv.create(tmp_path / "environment", with_pip=True)
    programs = tmp_path / "environment" / "bin"
    constraints = ("--constraint", str(ROOT / "constraints.txt"))
    # Not among what `make install` compiles, which stays as it is.
    build = f"--config-settings=build-dir={tmp_path / 'build'}"
    run(programs / "pip", "install", "--quiet", *constraints, build, str(ROOT), HAT_REQUIRE_NATIVE="1")
    return programs


def run(*command: Path | str, text: str = "", **environment: str) -> str:
    """What the command prints; it must succeed. Outside the checkout, which must not be imported."""
    done = subprocess.run(
        command,
        input=text,
        capture_output=True,
        encoding="utf-8",
        check=False,
        cwd=Path(command[0]).parent,
        env={**os.environ, "PYTHONPATH": "", **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_translates_without_torch(installed: Path, model: Path) -> None:
    python = installed / "python"
    for module in ("torch", "onnxruntime"):
        with pytest.raises(AssertionError, match=f"No module named '{module}'"):
            run(python, "-c", f"import {module}")
    run(python, "-c", "import hat.hardware.agent")
    assert "engine native        works" in run(installed / "hat", "doctor")
    found = run(installed / "hat", "translate", str(model), *TRANSLATE, text="\n".join(LINES))
    with Translator.load(model, engine="native", threads=1) as translator:
        expected = [str(one) for one in translator.translate(LINES, max_length=20)]
    assert found.splitlines() == expected
    assert all(expected)
