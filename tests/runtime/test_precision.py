"""Weights at every precision: what is stored, how close it stays, and what is refused."""

import json
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from hat.architecture import ModelConfig, weight_shapes
from hat.errors import HatError, UserError
from hat.runtime import PRECISIONS, Artefact, CodeBooks
from hat.runtime.weights.precision import (
    dequantize_rows,
    from_bfloat16,
    quantize_rows,
    stored_tensors,
    to_bfloat16,
)

MATRIX = "encoder.1.fc1.weight"
STACKED_BIAS = "encoder.0.self_attention.qkv.bias"


def test_int8_rows() -> None:
    weight = np.random.default_rng(1).normal(size=(3, 5, 40)).astype(np.float32)
    weight[1, 2] = 0
    weight[2, 4] = 3e-44  # so small that its scale is subnormal
    values, scales = quantize_rows(weight)
    assert (values.dtype, scales.dtype, scales.shape) == (np.int8, np.float32, (3, 5))
    assert np.abs(values[0]).max(-1).tolist() == [127] * 5
    assert values.min() >= -127
    assert (scales > 0).all()
    error = np.abs(dequantize_rows(values, scales) - weight)
    assert (error <= scales[..., None] * 0.5001).all()
    assert not values[1, 2].any()


def test_bfloat16_rounds_to_nearest_even() -> None:
    torch = pytest.importorskip("torch")
    weight = np.random.default_rng(1).normal(size=4000).astype(np.float32)
    halves = np.array([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 0, -0.0, 1e-40, 3.3e38], np.float32)
    weight = np.concatenate([weight, halves])
    expected = torch.from_numpy(weight).bfloat16()
    np.testing.assert_array_equal(to_bfloat16(weight), expected.view(torch.uint16).numpy())
    np.testing.assert_array_equal(from_bfloat16(to_bfloat16(weight)), expected.float().numpy())


def test_what_is_stored(model_config: ModelConfig) -> None:
    int8 = stored_tensors(model_config, "int8")
    assert int8[MATRIX] == ("I8", (16, 8))
    assert int8[MATRIX + ".scale"] == ("F32", (16,))
    assert int8["encoder.0.self_attention.qkv.weight.scale"] == ("F32", (3, 8))
    assert int8["embedding.scale"] == ("F32", (50,))
    assert int8[STACKED_BIAS] == ("F32", (3, 8))
    assert int8["decoder.0.ffn_norm.weight"] == ("F32", (6,))
    assert stored_tensors(model_config, "bfloat16")[MATRIX] == ("BF16", (16, 8))
    assert {kind for kind, _ in stored_tensors(model_config, "float32").values()} == {"F32"}
    kmeans = stored_tensors(model_config, "kmeans3")
    assert kmeans[MATRIX] == ("U8", (16, 3))
    assert kmeans[MATRIX + ".codebook"] == ("F32", (1, 8))
    assert kmeans["encoder.0.self_attention.qkv.weight"] == ("U8", (3, 8, 3))
    assert kmeans["embedding"] == ("U8", (50, 3))
    assert stored_tensors(model_config, "kmeans4", CodeBooks(32))["embedding.codebook"] == ("F32", (2, 16))
    assert stored_tensors(model_config, "kmeans4", CodeBooks(0, "int8"))["embedding"] == ("I8", (50, 8))
    assert "embedding.codebook" not in stored_tensors(model_config, "kmeans4", CodeBooks(0, "float32"))


@pytest.mark.parametrize("books", [CodeBooks(64, "int8", "k-means++"), CodeBooks(32)])
def test_code_books_are_told_in_the_configuration(
    artefact: Artefact, books: CodeBooks, tmp_path: Path
) -> None:
    at = artefact.at_precision("kmeans4", books)
    at.save(tmp_path)
    loaded = Artefact.load(tmp_path)
    assert loaded.config == at.config
    assert loaded.config.code_books == books
    for name, weight in at.float_weights().items():
        np.testing.assert_array_equal(loaded.float_weights()[name], weight)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace(f'"rows": {books.rows}', '"rows": 0'))
    if books.rows == 32:
        with pytest.raises(UserError, match=r"codebook has shape \(2, 16\); expected \(1, 16\)"):
            Artefact.load(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"rows": 0', '"rows": 31', "code_books.rows: 31 is not a multiple of 32"),
        ('"rows": 0', '"rows": -32', "code_books.rows: -32 is not a whole number of at least 0"),
        ('"rows": 0', '"rows": true', "code_books.rows: True is not a whole number"),
        ('"embeddings": "kmeans"', '"embeddings": []', "embeddings: []; the choices are kmeans, int8, float"),
        ('"linear"', '"random"', "initialization: 'random'; the choices are linear, k-means++"),
        ('"initialization"', '"x"', "code_books: unknown key x"),
        ('"code_books"', '"books"', "unknown key books"),
        ('"kmeans4"', '"int8"', "unknown key code_books"),
        ('"kmeans4"', '"kmeans9"', "unknown key code_books"),
        ('"kmeans4"', '"kmeans5"', f"tensor {MATRIX} has shape (16, 4); expected (16, 5)"),
        ('"kmeans4"', '[["kmeans4"]]', "unknown key code_books"),
    ],
)
def test_bad_code_books(artefact: Artefact, tmp_path: Path, old: str, new: str, message: str) -> None:
    artefact.at_precision("kmeans4", CodeBooks()).save(tmp_path)
    config = (tmp_path / "config.json").read_text()
    assert old in config
    (tmp_path / "config.json").write_text(config.replace(old, new))
    with pytest.raises(UserError, match=re.escape(message) if MATRIX not in message else "expected"):
        Artefact.load(tmp_path)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_round_trip(artefact: Artefact, precision: str, tmp_path: Path) -> None:
    at = artefact.at_precision(precision)
    at.save(tmp_path / "model")
    loaded = Artefact.load(tmp_path / "model")
    assert loaded.config == at.config
    assert loaded.config.precision == precision
    assert list(loaded.weights) == list(at.weights)
    for name, array in at.weights.items():
        assert loaded.weights[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded.weights[name], array)
    assert loaded.tokenizer_folder == tmp_path / "model" / "tokenizer"


@pytest.mark.parametrize(
    ("precision", "error"),
    [("float32", 0), ("bfloat16", 2**-8), ("int8", 0.5 / 126), ("kmeans8", 0.02), ("kmeans4", 0.2)],
)
def test_float_weights(artefact: Artefact, precision: str, error: float) -> None:
    found = artefact.at_precision(precision).float_weights()
    shapes = weight_shapes(artefact.config.model)
    assert {name: array.shape for name, array in found.items()} == shapes
    for name, weight in artefact.weights.items():
        assert found[name].dtype == np.float32
        assert np.abs(found[name] - weight).max() <= error * np.abs(weight).max()
    np.testing.assert_array_equal(found[STACKED_BIAS], artefact.weights[STACKED_BIAS])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_random_at_a_precision(model_config: ModelConfig, precision: str) -> None:
    found = Artefact.random(model_config, 1, precision)
    expected = Artefact.random(model_config, 1).at_precision(precision)
    assert found.config == expected.config
    for name, array in expected.weights.items():
        np.testing.assert_array_equal(found.weights[name], array)


def test_what_cannot_be_converted(artefact: Artefact) -> None:
    with pytest.raises(UserError, match="precision: 'int3'; the choices are float32, bfloat16, int8"):
        artefact.at_precision("int3")
    with pytest.raises(UserError, match="is int8 already; only a float32 one can become bfloat16"):
        artefact.at_precision("int8").at_precision("bfloat16")
    assert artefact.at_precision("float32") is artefact


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_not_saved(
    model_config: ModelConfig, precision: str, value: float, tmp_path: Path
) -> None:
    random = Artefact.random(model_config, 1)
    random.weights[MATRIX][3, 4] = value
    with pytest.raises(UserError, match=f"{MATRIX} holds values that are not finite"):
        random.at_precision(precision).save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_files_are_what_safetensors_writes(artefact: Artefact, tmp_path: Path) -> None:
    for precision in ("float32", "int8"):  # its numpy half writes no bfloat16
        at = artefact.at_precision(precision)
        at.save(tmp_path / precision)
        save_file(dict(at.weights), tmp_path / "expected")
        found = (tmp_path / precision / "model.safetensors").read_bytes()
        assert found == (tmp_path / "expected").read_bytes()


def test_others_read_our_bfloat16(artefact: Artefact, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file as load_torch  # noqa: PLC0415

    artefact.at_precision("bfloat16").save(tmp_path)
    found = load_torch(tmp_path / "model.safetensors")
    expected = torch.from_numpy(artefact.weights[MATRIX]).bfloat16()
    assert found[MATRIX].dtype == torch.bfloat16
    assert torch.equal(found[MATRIX], expected)


def test_weights_are_read_when_asked_for(artefact: Artefact, tmp_path: Path) -> None:
    artefact.save(tmp_path / "model")
    weights = Artefact.load(tmp_path / "model").weights
    first = weights[MATRIX]
    first[:] = 7
    np.testing.assert_array_equal(weights[MATRIX], artefact.weights[MATRIX])
    assert "nowhere" not in weights
    with pytest.raises(KeyError):
        weights["nowhere"]


def test_a_file_that_changed_is_not_mixed_with_the_loaded_header(artefact: Artefact, tmp_path: Path) -> None:
    artefact.save(tmp_path / "model")
    loaded = Artefact.load(tmp_path / "model")
    artefact.at_precision("int8").save(tmp_path / "model")
    with pytest.raises(HatError, match=r"model\.safetensors: has changed since"):
        loaded.weights[MATRIX]


def test_loading_reads_no_tensor(artefact: Artefact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artefact.save(tmp_path)
    monkeypatch.setattr(np, "fromfile", lambda *_: pytest.fail("a tensor was read"))
    assert len(Artefact.load(tmp_path).weights) == len(artefact.weights)


def _without_scales(tensors: dict[str, Any]) -> None:
    del tensors[f"{MATRIX}.scale"]


def _scales_of_another_shape(tensors: dict[str, Any]) -> None:
    tensors[f"{MATRIX}.scale"] = np.ones((16, 1), np.float32)


def _scales_of_another_type(tensors: dict[str, Any]) -> None:
    tensors[f"{MATRIX}.scale"] = np.ones(16, np.float64)


def _scales_of_a_vector(tensors: dict[str, Any]) -> None:
    tensors["encoder.0.ffn_norm.weight.scale"] = np.ones(8, np.float32)


def _unsigned(tensors: dict[str, Any]) -> None:
    tensors[MATRIX] = tensors[MATRIX].view(np.uint8)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_without_scales, f"tensor {MATRIX}.scale is missing; expected shape (16,)"),
        (_scales_of_another_shape, f"tensor {MATRIX}.scale has shape (16, 1); expected (16,)"),
        (_scales_of_another_type, f"tensor {MATRIX}.scale is of type F64; expected F32"),
        (_scales_of_a_vector, "unknown tensor encoder.0.ffn_norm.weight.scale"),
        (_unsigned, f"tensor {MATRIX} is of type U8; expected I8"),
    ],
)
def test_bad_int8_tensors(artefact: Artefact, tmp_path: Path, edit: Any, message: str) -> None:
    artefact.at_precision("int8").save(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    edit(tensors)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=re.escape(message)):
        Artefact.load(tmp_path)


@pytest.mark.parametrize(
    ("precision", "name", "content", "message"),
    [
        ("int8", f"{MATRIX}.scale", struct.pack("<f", float("nan")), "not finite"),
        ("int8", f"{MATRIX}.scale", struct.pack("<f", float("inf")), "not finite"),
        ("int8", f"{MATRIX}.scale", struct.pack("<f", -0.5), "holds -0.5; scales are positive"),
        ("int8", f"{MATRIX}.scale", struct.pack("<f", 0), "holds 0; scales are positive"),
        ("int8", MATRIX, b"\x80", "holds -128; int8 weights go from -127 to 127"),
        ("bfloat16", MATRIX, b"\x80\x7f", "not finite"),
        ("bfloat16", MATRIX, b"\xc0\xff", "not finite"),
        ("float32", MATRIX, struct.pack("<f", float("nan")), "not finite"),
        ("kmeans4", f"{MATRIX}.codebook", struct.pack("<f", float("nan")), "not finite"),
        ("float32", STACKED_BIAS, struct.pack("<f", float("-inf")), "not finite"),
    ],
)
def test_values_that_no_weight_may_have(
    artefact: Artefact, tmp_path: Path, precision: str, name: str, content: bytes, message: str
) -> None:
    artefact.at_precision(precision).save(tmp_path)
    path = tmp_path / "model.safetensors"
    data = bytearray(path.read_bytes())
    (size,) = struct.unpack("<Q", data[:8])
    start = 8 + size + json.loads(data[8 : 8 + size])[name]["data_offsets"][0]
    data[start : start + len(content)] = content
    path.write_bytes(data)
    loaded = Artefact.load(tmp_path)
    with pytest.raises(UserError, match=re.escape(f"tensor {name} ") + ".*" + re.escape(message)):
        loaded.weights[name]
    with pytest.raises(UserError, match=re.escape(name)):
        loaded.float_weights()


def test_precision_of_another_file(artefact: Artefact, tmp_path: Path) -> None:
    artefact.at_precision("int8").save(tmp_path)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace('"int8"', '"bfloat16"'))
    with pytest.raises(UserError, match=r"unknown tensor .*\.scale"):
        Artefact.load(tmp_path)
