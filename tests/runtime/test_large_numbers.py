"""Numbers too large to compute with are refused, at every precision as in float32; sums of int8 are exact."""

from dataclasses import replace

import numpy as np
import pytest

from hat.architecture import (
    Architecture,
    Decoder,
    DecoderLayer,
    Encoder,
    EncoderLayer,
    EvolvedArchitecture,
    ModelConfig,
)
from hat.errors import UserError
from hat.runtime import Artefact, DecodeOptions, Engine, EngineSettings, Translator, load_engine
from hat.runtime.weights.precision import dequantize_rows, quantize_rows
from tests.runtime.random_models import random_artefact, sources

ENGINES = ("native", "onnxruntime")
PRECISIONS = ("float32", "bfloat16", "int8", "kmeans4")
# The most inputs of a product in int8, whose integers go from -127 to 127 or from 0 to 255.
MOST_INPUTS = {"native": (2**31 - 1) // 127**2, "onnxruntime": (2**31 - 1) // (255 * 127)}
OPTIONS = DecodeOptions(beam=2, max_length_offset=6)


def engine_of(name: str, artefact: Artefact) -> Engine:
    if name == "native":
        pytest.importorskip("hat.runtime._native", reason="the native engine is not built")
    return load_engine(name, artefact, EngineSettings())


def enlarged(artefact: Artefact, name: str, largest: float) -> Artefact:
    """The model with the weight `name` so large that its largest entry is `largest`."""
    weights = dict(artefact.weights)
    weights[name] = weights[name] * np.float32(largest / np.abs(weights[name]).max())
    return replace(artefact, weights=weights)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("seed", "weight", "largest"),
    [
        (1, "encoder.0.self_attention_norm.weight", 3e38),  # overflows in a norm
        (1, "encoder.1.ffn_norm.weight", 1e30),  # in the scores of attention
        (1, "decoder.0.self_attention.qkv.weight", 1e20),
        (1, "decoder.0.ffn_norm.weight", 3e38),
        (2, "encoder_norm.weight", 3e38),
        (2, "decoder.1.cross_attention_norm.weight", 3e38),
        (2, "decoder.0.self_attention.qkv.weight", 1e30),
        (2, "decoder_norm.weight", 3e38),
    ],
)
def test_what_overflows_has_no_translation_at_any_precision(
    engine: str, seed: int, weight: str, largest: float
) -> None:
    damaged = enlarged(random_artefact(seed), weight, largest)
    batch = sources(damaged, seed)
    for precision in PRECISIONS:
        found = engine_of(engine, damaged.at_precision(precision)).translate(batch, OPTIONS)
        assert found == [[]] * len(batch), precision


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_words_are_the_same_at_every_precision(artefact: Artefact, engine: str, precision: str) -> None:
    damaged = enlarged(artefact, "decoder.0.ffn_norm.weight", 3e38).at_precision(precision)
    translator = Translator(damaged.config, damaged.tokenizer_folder, engine_of(engine, damaged))
    with pytest.raises(UserError, match=r"^line 1: no translation has a finite score: the model is damaged$"):
        translator.translate(["one tone"])
    with pytest.raises(UserError, match=r"^pair 1: no finite score: the model is damaged$"):
        translator.score([("one tone", "ten")])


@pytest.mark.parametrize("cell", ["encoder.0", "decoder.0"])
@pytest.mark.parametrize("part", ["merge_norm.weight", "branch_norm.weight", "ffn_norm.weight"])
def test_what_overflows_in_an_evolved_transformer_has_no_translation(cell: str, part: str) -> None:
    artefact = Artefact.random(ModelConfig(EvolvedArchitecture(16, 4, 1, 1), 50, 50), 3)
    for precision in ("float32", "int8"):
        engine = engine_of("onnxruntime", enlarged(artefact, f"{cell}.{part}", 3e38).at_precision(precision))
        assert engine.translate([[5, 6, 7, 2]], OPTIONS) == [[]]


def test_the_largest_weights_survive_int8() -> None:
    largest = np.finfo(np.float32).max
    weight = np.array([[largest, -largest, 0], [1, -2, 3]], np.float32)
    assert dequantize_rows(*quantize_rows(weight)) == pytest.approx(weight, rel=0.01)


def wide(ffn_dim: int) -> ModelConfig:
    architecture = Architecture(
        4, Encoder(4, (EncoderLayer(ffn_dim, 1),)), Decoder(4, (DecoderLayer(8, 1, 1),))
    )
    return ModelConfig(architecture, 8, 8)


@pytest.mark.parametrize("engine", ENGINES)
def test_widths_whose_int8_sums_overflow_are_refused(engine: str) -> None:
    most = MOST_INPUTS[engine]
    too_wide = Artefact.random(wide(most + 1), 1, "int8")
    with pytest.raises(UserError, match=f"{most + 1}.* more than {most}.*use float32 or bfloat16"):
        engine_of(engine, too_wide)
    engine_of(engine, Artefact.random(wide(most + 1), 1, "float32")).close()


@pytest.mark.parametrize("engine", ENGINES)
def test_the_widest_int8_sums_are_those_of_float32(engine: str) -> None:
    """Every hidden unit and every weight as large as any, so that each sum is the largest there can be."""
    artefact = Artefact.random(wide(MOST_INPUTS[engine]), 1)
    weights = dict(artefact.weights)
    weights["encoder.0.fc1.weight"] = np.zeros_like(weights["encoder.0.fc1.weight"])
    weights["encoder.0.fc1.bias"] = np.ones_like(weights["encoder.0.fc1.bias"])
    signs = np.array([[1], [-1], [1], [1]], np.float32)
    weights["encoder.0.fc2.weight"] = np.broadcast_to(signs, weights["encoder.0.fc2.weight"].shape).copy()
    artefact = replace(artefact, weights=weights)
    pair = [[5, 6, 2]], [[4, 7, 2]]
    exact, found = (
        engine_of(engine, artefact.at_precision(precision)).score(*pair) for precision in ("float32", "int8")
    )
    assert found[0] == pytest.approx(exact[0], abs=0.05)
