"""Fine-tuning a run's model in its code books."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from hat import Run
from hat.architecture import ModelConfig
from hat.errors import UserError
from hat.pipeline import fine_tune, load_recipe, run
from hat.runtime import Artefact
from tests.pipeline.tiny import TINY

BOOK = "embedding.codebook"


def test_on_the_text_that_the_run_has_prepared(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY), encoding="utf-8")
    recipe, root = load_recipe(str(path)), tmp_path / "run"
    run(recipe, root, stages=("prepare",))
    tiny = Run(root)
    before = Artefact.random(tiny.model_config(tiny.space.smallest()), 1, "kmeans2")
    state = sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*"))
    after, again = fine_tune(root, before, 3), fine_tune(root, before, 3)
    assert after.config.provenance == {"fine_tuned_updates": 3}
    assert not np.array_equal(after.weights[BOOK], before.weights[BOOK])
    np.testing.assert_array_equal(after.weights[BOOK], again.weights[BOOK])
    assert sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*")) == state


def test_a_run_without_text(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY), encoding="utf-8")
    run(load_recipe(str(path)), tmp_path / "run", stages=())
    smallest = Run(tmp_path / "run").space.smallest()
    artefact = Artefact.random(ModelConfig(smallest, 9, 9), 1, "kmeans2")
    with pytest.raises(UserError, match="prepare is not finished; run `hat prepare"):
        fine_tune(tmp_path / "run", artefact, 3)
