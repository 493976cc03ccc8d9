"""hat.Run: a run in Python, by public names."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hat
from hat.runtime import Artefact
from tests.pipeline.tiny import STEPS, flops_timer

MODELS = ["base", "hat-70pct", "largest", "smallest"]


def test_every_public_name_of_hat_is_there() -> None:
    assert all(hasattr(hat, name) for name in hat.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Walk'"):
        _ = hat.Walk  # type: ignore[attr-defined]


def test_a_finished_run_gives_what_was_made(finished: Path) -> None:
    run = hat.Run(finished)
    assert run.recipe.name == "tiny"
    status = run.status(verify=True)
    assert [(step.step, step.state) for step in status.steps] == [(step, "done") for step in STEPS]
    assert list(status.constraints) == run.constraints()
    models = run.models()
    assert list(models) == MODELS
    sources, references = run.test_text()
    for model in models.values():
        assert Artefact.load(model.trained).config.model == model.config
        assert Artefact.load(model.deployed).config.precision == "int8"
        assert len(model.translations) == len(sources) == len(references)
        assert 0 <= model.scores["bleu"] <= 100
    assert models["largest"].config == run.model_config(run.space.largest())
    assert models["largest"].cost.wall_seconds > 0


def test_a_finished_run_predicts_and_translates(finished: Path) -> None:
    run = hat.Run(str(finished))
    measured = run.measurements()
    assert measured[0].architecture == run.space.largest()
    predicted = run.predictor().predict([one.architecture for one in measured])
    assert np.allclose(predicted, [one.latency_ms for one in measured], rtol=0.3)
    assert run.protocol(7, 0.5).rounds == 7
    with run.translator("smallest", threads=1) as translator:
        assert len(translator.translate(["The dog sleeps."])) == 1


def test_settings_change_a_recipe_in_python_as_on_the_command_line(recipe_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    one = hat.Run(recipe_file, folder, settings={"search.constraints": ["50%"], "norm": "pre"})
    other = hat.Run(recipe_file, folder, settings=["search.constraints=[50%]", "norm=pre"])
    assert one.recipe == other.recipe == hat.Run(one.recipe, folder).recipe
    assert one.recipe.search.constraints == ["50%"]
    assert not folder.exists()


def test_a_recipe_made_in_python_is_worked_on_and_gone_on_with(recipe_file: Path, tmp_path: Path) -> None:
    recipe = hat.Run(recipe_file, tmp_path / "other").recipe
    folder = tmp_path / "run"
    hat.Run(recipe, folder, settings={"measure.samples": 8}).work(["prepare", "measure"], timer=flops_timer)
    assert len(hat.Run(folder).measurements()) == 8
    assert hat.Run(folder).models() == {}
    with pytest.raises(hat.UserError, match="no predictor is fitted"):
        hat.Run(folder).predictor()
    with pytest.raises(hat.UserError, match="neither an artefact nor a run folder with finished models"):
        hat.Run(folder).translator()


def test_a_finished_run_needs_no_training_library(finished: Path) -> None:
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "import hat\n"
        f"run = hat.Run({str(finished)!r})\n"
        "print(len(run.status().steps), run.predictor().report.samples)\n"
        "with run.translator(engine='native', threads=1) as translator:\n"
        "    print(len(translator.translate(['The dog sleeps.'])))\n"
    )
    pytest.importorskip("hat.runtime._native", reason="the native engine is not built")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(len(STEPS)), str(hat.Run(finished).predictor().report.samples), "1"]
