"""A fresh environment with the plain install: no torch, and an exported model translates."""

import json
import os
import subprocess
import venv
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from hat.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer, ModelConfig
from hat.pipeline import load_recipe
from hat.pipeline import run as run_stages
from hat.recipe.file import design_space
from hat.runtime import Artefact, TokenizerConfig, Translator
from tests.pipeline.tiny import TINY, flops_timer
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
    """The output of a command, which must succeed, outside the checkout, which must not be imported."""
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


@pytest.mark.slow
def test_a_run_is_looked_at_and_asked_without_torch(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    recipe, root = load_recipe(str(tmp_path / "tiny.yaml")), tmp_path / "run"
    run_stages(recipe, root, stages=("prepare", "measure", "fit"), timer=flops_timer)
    steps = json.loads(run(installed / "hat", "status", root, "--json"))["steps"]
    assert {step["step"]: step["state"] for step in steps}["fit"] == "done"
    (tmp_path / "arch.json").write_text(json.dumps(design_space(recipe).largest().to_dict()))
    told = run(installed / "hat", "predict", tmp_path / "arch.json", "--run", root, "--json")
    assert json.loads(told)["device"] == "local"
