"""The artefact comes back as it was written, and a damaged one is refused by name."""

import json
import re
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from hat.architecture import ModelConfig, weight_shapes
from hat.errors import HatError, UserError
from hat.runtime import Artefact

Edit = Callable[[dict[str, Any]], object]


def test_round_trip(artefact: Artefact, tmp_path: Path) -> None:
    artefact.save(tmp_path / "model")
    loaded = Artefact.load(tmp_path / "model")
    assert loaded.config == artefact.config
    assert list(loaded.weights) == list(weight_shapes(artefact.config.model))
    for name, array in artefact.weights.items():
        np.testing.assert_array_equal(loaded.weights[name], array)
    assert loaded.tokenizer_folder == tmp_path / "model" / "tokenizer"


def test_saving_twice_gives_the_same_bytes(artefact: Artefact, tmp_path: Path) -> None:
    for name in ("a", "b"):
        artefact.save(tmp_path / name)
    for path in (tmp_path / "a").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_an_artefact_is_replaced_by_itself(artefact: Artefact, tmp_path: Path) -> None:
    artefact.save(tmp_path / "model")
    Artefact.load(tmp_path / "model").save(tmp_path / "model")
    assert Artefact.load(tmp_path / "model").config == artefact.config
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_other_folders_are_not_overwritten(artefact: Artefact, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("years of work")
    with pytest.raises(UserError, match="not an artefact"):
        artefact.save(tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter").read_text() == "years of work"


def test_a_failed_save_leaves_the_old_artefact(artefact: Artefact, tmp_path: Path) -> None:
    artefact.save(tmp_path / "model")
    with pytest.raises(OSError, match=r"joint\.model"):
        replace(artefact, tokenizer_folder=tmp_path / "nowhere").save(tmp_path / "model")
    assert Artefact.load(tmp_path / "model").config == artefact.config
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_wrong_weights_are_not_saved(artefact: Artefact, tmp_path: Path) -> None:
    weights = dict(artefact.weights) | {"embedding": np.zeros((50, 8), np.float16)}
    with pytest.raises(UserError, match="embedding is of type float16; expected F32"):
        replace(artefact, weights=weights).save(tmp_path / "model")
    with pytest.raises(UserError, match="none is given"):
        replace(artefact, tokenizer_folder=None).save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_random_is_seeded_and_needs_no_tokenizer(model_config: ModelConfig, tmp_path: Path) -> None:
    first, again, other = (Artefact.random(model_config, seed) for seed in (3, 3, 4))
    name = "decoder.0.cross_attention.kv.weight"
    np.testing.assert_array_equal(first.weights[name], again.weights[name])
    assert (first.weights[name] != other.weights[name]).any()
    first.save(tmp_path / "model")
    assert Artefact.load(tmp_path / "model").tokenizer_folder is None


def _drop(name: str) -> Edit:
    return lambda value: value.pop(name)


def _put(name: str, content: object) -> Edit:
    return lambda value: value.update({name: content})


def _rename_layer(weights: dict[str, Any]) -> None:
    weights["encoder.2.fc1.bias"] = weights.pop("encoder.1.fc1.bias")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_drop("architecture"), "missing key architecture"),
        (_put("colour", 1), "unknown key colour; the known keys are format, architecture"),
        (_put("format", 2), "format 2; this version of hat reads format 1"),
        (_put("architecture", {"qkv_dim": 8}), "architecture: missing key encoder, decoder"),
        (_put("architecture", 3), "architecture: expected a mapping"),
        (_put("source_vocab", "many"), "source_vocab: 'many' is not a whole number"),
        (_put("source_vocab", 51), "shared embeddings need one vocabulary"),
        (_put("encoder_super_dim", 4), "encoder_super_dim: 4 is less than"),
        (_put("decoder_super_dim", None), "decoder_super_dim: None is not a whole number"),
        (_put("embeddings", ["shared"]), "the choices are shared, separate"),
        (_put("embeddings", "separate"), "tensor source_embedding is missing"),
        (_put("source_language", 7), "source_language: 7 is not a language's code"),
        (_put("precision", "int3"), "precision: 'int3'; the choices are float32"),
        (_put("precision", []), "the choices are float32"),
        (_put("decode", {"beam": 5}), "decode: missing key length_penalty"),
        (_put("tokenizer", {"kind": "moses", "joint": True}), "the choices are sentencepiece"),
        (_put("tokenizer", {"kind": "sentencepiece", "joint": 1}), "joint: 1 is not true or false"),
        (_put("tokenizer", {"kind": "sentencepiece", "joint": False}), "source.model: the token"),
        (_put("provenance", "none"), "provenance: expected a mapping"),
        (lambda value: value["decode"].update(beam=0), "decode.beam: 0 is less than 1"),
        (lambda value: value["decode"].update(beam=True), "decode.beam: True is not a whole"),
        (lambda value: value["decode"].update(length_penalty=float("nan")), "not a finite number"),
        (lambda value: value["decode"].update(length_penalty=10**400), "of 401 digits is too large"),
        (lambda value: value["decode"].update(max_length_offset=10**9), "1000000000 is more than 65536"),
        (
            _put("decoder_super_dim", 2**40),
            "decoder_super_dim: 1099511627776 is not a whole number from 1 to 1048576",
        ),
        (_put("two\nlines", 1), r"unknown key 'two\nlines'; the known"),
        (_put("precision", "x" * 10**6), "xxx…; the choices are float32"),
    ],
)
def test_bad_configuration(artefact: Artefact, tmp_path: Path, edit: Edit, message: str) -> None:
    artefact.save(tmp_path)
    path = tmp_path / "config.json"
    value = json.loads(path.read_text())
    edit(value)
    path.write_text(json.dumps(value))
    with pytest.raises(UserError, match=re.escape(message)):
        Artefact.load(tmp_path)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_drop("encoder.0.fc1.weight"), "tensor encoder.0.fc1.weight is missing; expected shape"),
        (_put("extra", np.zeros(3, np.float32)), "unknown tensor extra"),
        (_put("embedding", np.zeros((50, 9), np.float32)), "has shape (50, 9); expected (50, 8)"),
        (_put("embedding", np.zeros((50, 8), np.float64)), "is of type F64; expected F32"),
        (_rename_layer, "tensor encoder.1.fc1.bias is missing"),
    ],
)
def test_bad_tensors(artefact: Artefact, tmp_path: Path, edit: Edit, message: str) -> None:
    artefact.save(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    edit(weights)
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        Artefact.load(tmp_path)
    assert "model.safetensors" in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:4],
        lambda content: content[:200],
        lambda content: content[:-1],
        lambda content: content + b"\0" * 64,
        lambda content: struct.pack("<Q", 2**63) + content[8:],
        lambda content: struct.pack("<Q", len(content)) + content[8:],
        lambda content: content.replace(b'"F32"', b'"F99"', 1),
        lambda content: content.replace(b"[0,", b"[9,", 1),
        lambda content: content[:8] + b"\xff" * 40 + content[48:],
        lambda content: b"PK\x03\x04" + content,
    ],
)
def test_damaged_weights(artefact: Artefact, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    artefact.save(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"model\.safetensors"):
        Artefact.load(tmp_path)


def test_what_is_no_artefact_at_all(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match="not an artefact folder"):
            Artefact.load(folder)
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "config.json").write_bytes(b"\xff{")
    with pytest.raises(HatError, match="not UTF-8"):
        Artefact.load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json:1"):
        Artefact.load(tmp_path)
    for content, message in (
        ('{"format": 1, "format": 2}', "the key format twice"),
        ("[" * 100_000, "nested deeper than 100 levels"),
        ("1" * 5000, "5000 digits is too large"),
    ):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(UserError, match=rf"config\.json:1: .*{message}"):
            Artefact.load(tmp_path)
