"""The objectives: counted figures are those of the models themselves."""

from pathlib import Path

import pytest

from hat.architecture import ModelConfig, cost
from hat.runtime import PRECISIONS, Artefact
from hat.search import OBJECTIVES
from hat.search.objectives import flops, parameters, weights_bytes
from tests.search.small_space import SPACE


def config(vocabulary: int = 50) -> ModelConfig:
    return ModelConfig(SPACE.largest(), vocabulary, vocabulary)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_size_is_that_of_the_exported_weights_to_the_byte(precision: str, tmp_path: Path) -> None:
    for model in (config(), ModelConfig(SPACE.smallest(), 31, 47, embeddings="separate", norm="pre")):
        Artefact.random(model, seed=0, precision=precision).save(tmp_path / "artefact")
        weights = tmp_path / "artefact" / "model.safetensors"
        assert weights_bytes(model, precision) == weights.stat().st_size


def test_parameters_have_the_embeddings_and_flops_are_the_published_ones() -> None:
    model = config()
    counted = cost(model.architecture)
    assert parameters(model, "int8") == counted.parameters + 50 * 64
    assert flops(model, "int8") == counted.flops


@pytest.mark.parametrize(
    ("name", "value", "written"),
    [
        ("latency", 12.345, "12.35 ms"),
        ("memory", 61.2e6, "61.2 MB"),
        ("size", 900.0, "0.9 kB"),
        ("parameters", 2_345_678.0, "2.346 M"),
        ("parameters", 12.0, "12"),
        ("flops", 1.5e9, "1.5 G"),
    ],
)
def test_figures_are_written_in_a_unit_that_limits_may_have(name: str, value: float, written: str) -> None:
    assert OBJECTIVES[name].written(value) == written


def test_a_counted_objective_is_not_measured_and_all_but_the_latency_are_either() -> None:
    for name, objective in OBJECTIVES.items():
        assert name == objective.name
        assert (objective.count is None) != (objective.measure is None) or name == "latency"
