"""A run whose device is a GPU: its test text is translated there, as the device runs the models."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from hat.hardware import Device
from hat.pipeline import load_recipe, run
from hat.pipeline.models import scoring
from hat.pipeline.steps.context import Context
from hat.runtime import Translator
from tests.pipeline.tiny import Recorder, flops_timer

HERE = Device("cuda:0", engine="torch", precision="float32", accelerator="cuda")
THERE = Device("lab", "ssh://lab", engine="torch", precision="float32", accelerator="cuda")


def inputs(device: Device, engine: str, recipe: Path) -> dict[str, str]:
    context = Context(recipe.parent, load_recipe(str(recipe)))
    context.device = device
    return context.scoring_device_inputs(engine)


def test_the_gpu_translates_where_it_is_here_and_the_engine_uses_it(recipe_file: Path) -> None:
    assert inputs(HERE, "torch", recipe_file) == {"engine": "torch", "accelerator": "cuda"}
    assert inputs(HERE, "onnxruntime", recipe_file) == {"engine": "onnxruntime"}
    assert inputs(THERE, "torch", recipe_file) == {"engine": "torch"}
    assert inputs(Device("local"), "native", recipe_file) == {"engine": "native"}


def test_scores_are_those_of_the_gpu(
    finished: Path, recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[tuple[Any, ...]] = []
    real = Translator.load

    def load(path: Path, model: None, *settings: Any) -> Translator:
        loaded.append(settings)
        return real(path)

    shutil.copytree(finished, tmp_path / "run")
    devices = tmp_path / "devices.yaml"
    devices.write_text("devices: {gpu: {accelerator: cuda}}")
    recipe = load_recipe(str(recipe_file), [f"device={{name: gpu, file: {devices}}}"])
    monkeypatch.setattr(scoring.Translator, "load", load)
    run(recipe, tmp_path / "run", timer=flops_timer, reporter=Recorder())
    assert {(engine, accelerator) for engine, _, accelerator in loaded} == {("torch", "cuda")}
