"""Fixtures of a tiny run."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from hat.pipeline import load_recipe, run
from tests.pipeline.tiny import STEPS, TINY, Recorder, flops_timer


@pytest.fixture
def tiny() -> dict[str, Any]:
    """The tiny recipe, to change and write."""
    return deepcopy(TINY)


@pytest.fixture
def recipe_file(tmp_path: Path, tiny: dict[str, Any]) -> Path:
    """The tiny recipe in a file."""
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny, sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished tiny run. Tests that change it copy it."""
    root = tmp_path_factory.mktemp("runs")
    recipe = root / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(TINY), encoding="utf-8")
    reporter = Recorder()
    run(load_recipe(str(recipe)), root / "tiny", timer=flops_timer, reporter=reporter)
    assert reporter.worked == STEPS
    unknown = "train 0 / 0, valid 0 / 0, test 0 / 0"
    assert f"prepare: % of the text unknown to the vocabulary (source / target): {unknown}" in reporter.said
    return root / "tiny"
