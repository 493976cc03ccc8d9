"""An Evolved Transformer as an artefact: written, read, run by the engines that can."""

import json
from pathlib import Path

import pytest

from hat.architecture import EvolvedArchitecture, ModelConfig
from hat.errors import UserError
from hat.hardware.agent.decoding import Decoding
from hat.hardware.protocol import MeasureProtocol
from hat.model import beam_search
from hat.model.engine import TorchEngine
from hat.runtime import (
    ENGINES,
    Artefact,
    ArtefactConfig,
    DecodeOptions,
    EngineSettings,
    installed_engine,
    load_engine,
)
from tests.model.networks import SOURCES, assert_same, example_artefact, example_network, padded

EVOLVED = EvolvedArchitecture(16, 4, 2, 2)
OPTIONS = DecodeOptions(beam=3, nbest=3, max_length_factor=1.0, max_length_offset=4)


@pytest.mark.parametrize("embeddings", ["shared", "separate"])
def test_it_comes_back_as_it_was(embeddings: str, tmp_path: Path) -> None:
    artefact = example_artefact(EVOLVED, embeddings)
    artefact.save(tmp_path / "model")
    loaded = Artefact.load(tmp_path / "model")
    assert loaded.config == artefact.config
    assert isinstance(loaded.config.model.architecture, EvolvedArchitecture)
    for name, weight in artefact.weights.items():
        assert (loaded.weights[name] == weight).all()
    engine = TorchEngine(loaded, EngineSettings())
    network = example_network(EVOLVED, embeddings)
    assert_same(engine.translate(SOURCES, OPTIONS), beam_search(network, padded(SOURCES), OPTIONS))


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_every_precision_is_near_float32(precision: str, tmp_path: Path) -> None:
    example_artefact(EVOLVED, precision=precision).save(tmp_path / "model")
    engines = (
        load_engine("torch", artefact, EngineSettings())
        for artefact in (example_artefact(EVOLVED), Artefact.load(tmp_path / "model"))
    )
    exact, rounded = (engine.score(SOURCES, SOURCES) for engine in engines)
    differences = [abs(a - b) for x, y in zip(exact, rounded, strict=True) for a, b in zip(x, y, strict=True)]
    assert 0 < max(differences) < 0.3


def test_the_native_engine_refuses_and_auto_passes_it_over() -> None:
    artefact = example_artefact(EVOLVED)
    for refused in (
        lambda: load_engine("native", artefact, EngineSettings()),
        lambda: installed_engine("native", artefact.config.model.architecture),
    ):
        with pytest.raises(UserError) as error:
            refused()
        assert str(error.value) == (
            "engine native does not run an Evolved Transformer; the choices are onnxruntime, torch"
        )
    assert installed_engine("auto", artefact.config.model.architecture) != "native"
    engine = load_engine("auto", artefact, EngineSettings())
    assert engine.name in tuple(ENGINES)[1:]
    assert all(found[0].tokens[-1] == 2 for found in engine.translate(SOURCES, OPTIONS))


def test_a_damaged_configuration_is_refused(tmp_path: Path) -> None:
    config = ArtefactConfig(ModelConfig(EvolvedArchitecture(16, 4, 2, 2), 40, 40)).to_dict()
    for change, message in (
        ({"decoder_cells": 10**12}, "is more than 1024"),
        ({"family": None}, "family: None; the one choice is evolved"),
    ):
        config["architecture"] |= change
        with pytest.raises(UserError, match=message):
            ArtefactConfig.from_dict(json.loads(json.dumps(config)), "config.json")


def test_it_is_timed_like_any_artefact() -> None:
    artefact = Artefact.random(ModelConfig(EvolvedArchitecture(16, 4, 1, 1), 40, 40), seed=0)
    protocol = MeasureProtocol((5, 9), (4, 7), engine="torch", beam=2)
    decoding = Decoding(artefact, protocol)
    assert len(decoding.time()) == len(decoding.time(first=True)) == 2
    decoding.close()
