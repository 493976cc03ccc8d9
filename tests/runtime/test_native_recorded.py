"""The native engine against recorded translations of the torch engine: a test for machines without
PyTorch, such as a board or its emulation (`make test-arm`)."""

import numpy as np
import pytest

from hat.runtime import EngineSettings
from tests.runtime.random_models import assert_equal
from tests.runtime.recorded import PRECISIONS, SEEDS, case, expected

_native = pytest.importorskip("hat.runtime._native", reason="the native engine is not built")

from hat.runtime.engines.native import NativeEngine  # noqa: E402

SETS = [entry["name"] for entry in _native.instruction_sets() if entry["built"] and entry["supported"]]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", SETS)
def test_float32_translates_as_recorded(name: str, seed: int) -> None:
    artefact, batch, options = case(seed, "float32")
    engine = NativeEngine(artefact, EngineSettings(2, instruction_set=name))
    assert_equal(engine.translate(batch, options), expected(seed, "float32"))


@pytest.mark.parametrize("precision", ["bfloat16", "int8", "kmeans4"])
@pytest.mark.parametrize("name", SETS)
def test_low_precision_scores_near_the_recorded_ones(name: str, precision: str) -> None:
    differences: list[float] = []
    for seed in SEEDS:
        artefact, batch, _ = case(seed, precision)
        best = [ranked[0] for ranked in expected(seed, precision)]
        engine = NativeEngine(artefact, EngineSettings(1, instruction_set=name))
        for found, wanted in zip(engine.score(batch, [one.tokens for one in best]), best, strict=True):
            differences += np.abs(np.subtract(found, wanted.token_scores)).tolist()
    # Activations rounded to 8 bits; a wrong scale or offset is off by whole nats.
    assert np.mean(differences) < 0.05
    assert max(differences) < 0.4


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_record_is_what_torch_says(seed: int, precision: str) -> None:
    module = pytest.importorskip("hat.model.engine", reason="PyTorch is not installed")
    artefact, batch, options = case(seed, precision)
    found = module.TorchEngine(artefact, EngineSettings(1)).translate(batch, options)
    assert_equal(found, expected(seed, precision))
