"""Every family in onnxruntime: the same translations and scores as the torch engine's."""

import re
from pathlib import Path

import numpy as np
import onnx
import pytest

from hat.architecture import FAMILIES, AnyArchitecture
from hat.export.deploy import deploy
from hat.model.engine import TorchEngine
from hat.runtime import DecodeOptions, EngineSettings
from hat.runtime.onnx.engine import OnnxEngine, load_folder
from hat.runtime.onnx.graph import decoder_model, encoder_model
from tests.model.networks import EXAMPLES, SOURCES, example_artefact
from tests.runtime.random_models import assert_equal

ONE = EngineSettings()
each_family = pytest.mark.parametrize(
    "architecture", [EXAMPLES[name][0] for name, family in FAMILIES.items() if "onnx" in family.exporters]
)
# Long enough for the windows of the convolutions to move on; the batch has sentences of all lengths.
OPTIONS = DecodeOptions(beam=3, nbest=3, min_length=15, max_length_factor=1.0, max_length_offset=16)


@each_family
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("embeddings", ["shared", "separate"])
def test_it_translates_and_scores_as_in_torch(
    architecture: AnyArchitecture, embeddings: str, precision: str
) -> None:
    artefact = example_artefact(architecture, embeddings, precision)
    engine, torch_engine = OnnxEngine(artefact, ONE), TorchEngine(artefact, ONE)
    expected = torch_engine.translate(SOURCES, OPTIONS)
    assert_equal(engine.translate(SOURCES, OPTIONS), expected)
    targets = [hypotheses[-1].tokens for hypotheses in expected]
    found = engine.score(SOURCES, targets)
    for scores, wanted in zip(found, torch_engine.score(SOURCES, targets), strict=True):
        assert scores == pytest.approx(wanted, abs=1e-4)


@each_family
def test_int8_scores_are_near_those_of_its_own_weights_in_float32(architecture: AnyArchitecture) -> None:
    artefact = example_artefact(architecture, precision="int8")
    found, expected = (
        np.concatenate(engine.score(SOURCES, SOURCES))
        for engine in (OnnxEngine(artefact, ONE), TorchEngine(artefact, ONE))
    )
    error = np.abs(found - expected)
    assert error.max() < 0.3
    assert error.mean() < 0.06


@each_family
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_the_graphs_are_valid_and_an_export_runs(
    architecture: AnyArchitecture, precision: str, tmp_path: Path
) -> None:
    artefact = example_artefact(architecture, precision=precision)
    for model in (encoder_model(artefact), decoder_model(artefact)):
        onnx.checker.check_model(model, full_check=precision == "float32")
    deploy(artefact, tmp_path / "model", "onnx")
    config, engine = load_folder(tmp_path / "model", ONE)
    assert config.model == artefact.config.model
    assert engine.translate(SOURCES, OPTIONS) == OnnxEngine(artefact, ONE).translate(SOURCES, OPTIONS)


@each_family
def test_the_document_names_every_input_and_output(architecture: AnyArchitecture) -> None:
    page = (Path(__file__).parents[2] / "docs" / "onnx.md").read_text("utf-8")
    named = set(re.findall(r"`([a-z_]+(?:\.i)?)`", page))
    artefact = example_artefact(architecture)
    for model in (encoder_model(artefact), decoder_model(artefact)):
        for value in (*model.graph.input, *model.graph.output):
            assert re.sub(r"\.\d+$", ".i", value.name) in named
