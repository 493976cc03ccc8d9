"""The ONNX graphs and their engine: the same translations and scores as the torch engine's."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from hat.errors import UserError
from hat.model.engine import TorchEngine
from hat.runtime import Artefact, DecodeOptions, Engine, EngineSettings
from hat.runtime.engines.native import NativeEngine
from hat.runtime.onnx.engine import OnnxEngine
from hat.runtime.onnx.graph import decoder_model, encoder_model
from tests.runtime.random_models import assert_equal, random_artefact, sources

ONE = EngineSettings()


@pytest.mark.parametrize("uneven", [False, True])
@pytest.mark.parametrize("seed", range(14))
def test_float32_equals_torch(seed: int, uneven: bool) -> None:
    artefact = random_artefact(seed, uneven=uneven)
    engine, torch_engine = OnnxEngine(artefact, ONE), TorchEngine(artefact, ONE)
    batch, beam = sources(artefact, seed), 1 + seed % 5
    for options in (
        DecodeOptions(beam=beam, nbest=beam, max_length_factor=1.5, max_length_offset=3),
        DecodeOptions(beam=beam, nbest=beam, length_penalty=0.3, min_length=6, max_length_offset=6),
    ):
        expected = torch_engine.translate(batch, options)
        assert_equal(engine.translate(batch, options), expected)
        targets = [hypotheses[-1].tokens for hypotheses in expected]
        scores = zip(engine.score(batch, targets), torch_engine.score(batch, targets), strict=True)
        for found, wanted in scores:
            assert found == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("beam", [9, 40])
@pytest.mark.parametrize("seed", [0, 1])
def test_beams_that_look_at_most_of_the_vocabulary(seed: int, beam: int) -> None:
    artefact = random_artefact(seed)
    options = DecodeOptions(beam=beam, nbest=beam, max_length_offset=9)
    batch = sources(artefact, seed, (4, 2))
    assert_equal(
        OnnxEngine(artefact, ONE).translate(batch, options),
        TorchEngine(artefact, ONE).translate(batch, options),
    )


def test_bfloat16_is_computed_in_float32() -> None:
    artefact = random_artefact(1, "bfloat16")
    options, batch = DecodeOptions(beam=3, nbest=3, max_length_offset=12), sources(artefact, 0)
    assert_equal(
        OnnxEngine(artefact, ONE).translate(batch, options),
        TorchEngine(artefact, ONE).translate(batch, options),
    )
    assert {node.op_type for node in decoder_model(artefact).graph.node}.isdisjoint({"DynamicQuantizeMatMul"})


@pytest.mark.parametrize("seed", range(6))
def test_int8_scores_are_near_those_of_its_own_weights_in_float32(seed: int) -> None:
    """The difference left is the rounding of activations: at most 0.15 of a nat a token, 0.04 on average."""
    artefact = random_artefact(seed, "int8")
    batch = sources(artefact, seed)
    targets = [[*(3 + token % 37 for token in source[:-1]), 2] for source in batch]
    found, expected = (
        np.concatenate(engine.score(batch, targets))
        for engine in (OnnxEngine(artefact, ONE), TorchEngine(artefact, ONE))
    )
    error = np.abs(found - expected)
    assert error.max() < 0.15
    assert error.mean() < 0.04


def test_int8_translates_alone_as_it_scores() -> None:
    artefact = random_artefact(3, "int8")
    engine = OnnxEngine(artefact, ONE)
    [[best]] = engine.translate(sources(artefact, 1, (6,)), DecodeOptions(beam=1, max_length_offset=9))
    [scores] = engine.score(sources(artefact, 1, (6,)), [best.tokens])
    assert scores == pytest.approx(best.token_scores, abs=1e-4)


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize(("seed", "uneven"), [(2, False), (3, False), (2, True), (3, True)])
def test_the_graphs_are_valid_and_say_what_they_are(seed: int, uneven: bool, precision: str) -> None:
    artefact = random_artefact(seed, precision, uneven)
    for model in (encoder_model(artefact), decoder_model(artefact)):
        onnx.checker.check_model(model, full_check=precision == "float32")
        domains = {opset.domain: opset.version for opset in model.opset_import}
        assert domains == {"": 17} | ({"com.microsoft": 1} if precision == "int8" else {})
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        assert metadata["precision"] == precision
        assert metadata["architecture"] == artefact.config.model.architecture.short_hash()
        assert model.producer_name == "hardware-aware-transformers"


def test_every_product_of_an_int8_model_is_int8() -> None:
    artefact = random_artefact(1, "int8")
    for model in (encoder_model(artefact), decoder_model(artefact)):
        assert "Gemm" not in {node.op_type for node in model.graph.node}
        constants = {tensor.name for tensor in model.graph.initializer}
        for node in model.graph.node:
            if node.op_type == "MatMul":  # attention, between activations
                assert constants.isdisjoint(node.input)
        largest = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        assert largest.data_type in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)


def test_threads_share_an_engine() -> None:
    artefact = random_artefact(5)
    engine = OnnxEngine(artefact, EngineSettings(threads=2))
    options = DecodeOptions(beam=3, max_length_offset=15)
    batches = [sources(artefact, seed) for seed in range(8)]
    alone = [engine.translate(batch, options) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda batch: engine.translate(batch, options), batches))
    assert together == alone
    engine.close()


@pytest.mark.parametrize("kind", [OnnxEngine, TorchEngine, NativeEngine])
def test_engines_take_whatever_gives_ids(kind: Callable[[Artefact, EngineSettings], Engine]) -> None:
    artefact = random_artefact(5)
    engine: Any = kind(artefact, ONE)
    batch = sources(artefact, 1)
    options = DecodeOptions(beam=2, max_length_offset=5)
    assert engine.translate(map(iter, batch), options) == engine.translate(batch, options)
    arrays = [np.array(source) for source in batch]
    assert engine.score(iter(arrays), map(tuple, arrays)) == engine.score(batch, batch)
    engine.close()


def test_nothing_to_do_and_the_wrong_device() -> None:
    artefact = random_artefact(5)
    engine = OnnxEngine(artefact, ONE)
    assert engine.translate([], DecodeOptions()) == []
    assert engine.score([], []) == []
    with pytest.raises(UserError, match="device: 'cuda' is for the torch engine only, not onnxruntime"):
        OnnxEngine(artefact, EngineSettings(device="cuda"))


def test_the_documents_agree_with_the_graphs() -> None:
    """docs/onnx.md names every input and output."""
    page = (Path(__file__).parents[2] / "docs" / "onnx.md").read_text("utf-8")
    named = set(re.findall(r"`([a-z_]+(?:\.i)?)`", page))
    artefact = random_artefact(1)
    for model in (encoder_model(artefact), decoder_model(artefact)):
        for value in (*model.graph.input, *model.graph.output):
            assert re.sub(r"\.\d+$", ".i", value.name) in named
