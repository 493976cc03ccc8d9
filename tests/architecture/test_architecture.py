"""The architecture as data: round trips, a stable hash, and errors that name the place."""

import json
import random
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from hat import zoo
from hat.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer, ModelConfig
from hat.architecture.transformer import transformer_text
from hat.errors import UserError

SMALL = Architecture(
    8,
    Encoder(6, (EncoderLayer(10, 2), EncoderLayer(12, 4))),
    Decoder(4, (DecoderLayer(12, 4, 2, 2),)),
)


def test_round_trip_through_json_and_yaml(tmp_path: Path) -> None:
    rng = random.Random(0)
    space = zoo.space("multi30k")
    for architecture in [SMALL, *(space.sample(rng) for _ in range(50))]:
        value = architecture.to_dict()
        again = Architecture.from_dict(json.loads(json.dumps(value)))
        assert again == architecture
        assert hash(again) == hash(architecture)
        assert Architecture.from_dict(yaml.safe_load(yaml.safe_dump(value))) == architecture


def test_published_records_round_trip() -> None:
    for model in zoo.published_models():
        assert Architecture.from_dict(model["architecture"]).to_dict() == model["architecture"]


def test_load_takes_an_architecture_or_a_record_that_holds_one(tmp_path: Path) -> None:
    plain, record = tmp_path / "plain.yaml", tmp_path / "record.json"
    plain.write_text(yaml.safe_dump(SMALL.to_dict()))
    record.write_text(json.dumps({"name": "small", "architecture": SMALL.to_dict()}))
    assert Architecture.load(plain) == Architecture.load(record) == SMALL


def test_short_hash_is_stable() -> None:
    assert SMALL.short_hash() == "b4aba06fbe6a"
    reordered = {key: SMALL.to_dict()[key] for key in ("decoder", "qkv_dim", "encoder")}
    assert Architecture.from_dict(reordered).short_hash() == SMALL.short_hash()
    hashes = {Architecture.from_dict(m["architecture"]).short_hash() for m in zoo.published_models()}
    distinct = {json.dumps(m["architecture"], sort_keys=True) for m in zoo.published_models()}
    assert len(hashes) == len(distinct)


def test_attended_layers_default_to_the_last() -> None:
    value = SMALL.to_dict()
    del value["decoder"]["layers"][0]["encoder_layers_attended"]
    assert Architecture.from_dict(value).decoder.layers[0].encoder_layers_attended == 1


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("qkv_dim",), 0, "a.yaml.qkv_dim: 0 is not a positive"),
        (("qkv_dim",), 8.0, "a.yaml.qkv_dim: 8.0 is not a positive"),
        (("qkv_dim",), True, "a.yaml.qkv_dim: True is not a positive"),
        (("encoder", "embed_dim"), -6, "a.yaml.encoder.embed_dim: -6"),
        (("encoder", "layers"), [], "a.yaml.encoder.layers: at least one layer"),
        (("encoder", "layers"), {}, "a.yaml.encoder.layers: expected a list"),
        (("encoder",), 3, "a.yaml.encoder: expected a mapping with the keys embed_dim, layers"),
        (("encoder", "layers", 1, "heads"), 3, r"encoder.layers\[1\].heads: 3 .* qkv_dim 8"),
        (("encoder", "layers", 0, "ffn_dim"), "10", r"encoder.layers\[0\].ffn_dim: '10'"),
        (("encoder", "layers", 0, "ffn"), 10, r"encoder.layers\[0\]: unknown key ffn; .* ffn_dim"),
        (("decoder", "layers", 0, "cross_heads"), 5, r"decoder.layers\[0\].cross_heads: 5"),
        (("decoder", "layers", 0, "encoder_layers_attended"), 3, "attended: 3, .* has 2 layers"),
        (("encoder", "layers", 0, "ffn_dim"), -1, r"encoder.layers\[0\].ffn_dim: -1"),
        (("encoder", "layers", 0, "qkv_dim"), None, r"encoder.layers\[0\].qkv_dim: None is not a whole"),
        (("encoder", "layers", 0, "qkv_dim"), 0, r"encoder.layers\[0\].qkv_dim: 0 is not a positive"),
        (("encoder", "layers", 0, "qkv_dim"), 5, r"encoder.layers\[0\].heads: 2 heads .* qkv_dim 5"),
        (("encoder", "layers", 0, "self_qkv_dim"), 8, r"unknown key self_qkv_dim; .* qkv_dim"),
        (
            ("encoder", "layers", 0, "passes"),
            0,
            r"encoder.layers\[0\].passes: 0 is not a whole number from 1 to 64",
        ),
        (
            ("encoder", "layers", 0, "passes"),
            65,
            r"encoder.layers\[0\].passes: 65 is not a whole number from 1",
        ),
        (("decoder", "layers", 0, "cross_qkv_dim"), 3, r"decoder.layers\[0\].cross_heads: 2 heads"),
        (
            ("decoder", "layers", 0, "cross_heads"),
            0,
            r"layers\[0\].encoder_layers_attended: 2, but cross_heads is 0",
        ),
        (
            ("decoder", "depth"),
            1,
            "a.yaml.decoder: unknown key depth; the known keys are embed_dim",
        ),
    ],
)
def test_bad_architectures_name_the_place(path: tuple[Any, ...], value: object, message: str) -> None:
    changed = deepcopy(SMALL.to_dict())
    place: Any = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(UserError, match=message):
        Architecture.from_dict(changed, "a.yaml")


def test_a_layer_that_lacks_an_attention_has_no_width_of_it() -> None:
    value = SMALL.to_dict()
    value["encoder"]["layers"][0] |= {"heads": 0, "qkv_dim": 8}
    with pytest.raises(
        UserError, match=r"encoder.layers\[0\].qkv_dim: 8, but heads is 0: the layer has no such"
    ):
        Architecture.from_dict(value)


def test_widths_and_parts_of_layers_round_trip() -> None:
    layers = (EncoderLayer(0, 2, qkv_dim=6, passes=2), EncoderLayer(12, 0))
    decoder = (DecoderLayer(0, 0, 2, 2, cross_qkv_dim=4), DecoderLayer(12, 1, 0, self_qkv_dim=3))
    architecture = Architecture(8, Encoder(6, layers), Decoder(4, decoder))
    value = json.loads(json.dumps(architecture.to_dict()))
    assert value["encoder"]["layers"] == [
        {"ffn_dim": 0, "heads": 2, "qkv_dim": 6, "passes": 2},
        {"ffn_dim": 12, "heads": 0},
    ]
    assert Architecture.from_dict(value) == architecture
    assert transformer_text(architecture).splitlines()[2:4] == [
        "  1: no ffn, heads 2 (qkv_dim 6), 2 passes",
        "  2: ffn 12, no attention",
    ]
    assert transformer_text(architecture).splitlines()[5:] == [
        "  1: no ffn, no self-attention, heads 2 (qkv_dim 4) cross, attends to the last 2",
        "  2: ffn 12, heads 1 (qkv_dim 3) self, no attention to the encoder",
    ]


def test_an_equal_width_of_its_own_changes_nothing() -> None:
    value = SMALL.to_dict()
    value["encoder"]["layers"][0]["qkv_dim"] = value["decoder"]["layers"][0]["self_qkv_dim"] = 8
    again = Architecture.from_dict(value)
    value["decoder"]["layers"][0]["passes"] = 1
    assert again == Architecture.from_dict(value) == SMALL
    assert again.short_hash() == SMALL.short_hash()


@pytest.mark.parametrize("key", ["qkv_dim", "encoder", "decoder"])
def test_missing_keys_are_named(key: str) -> None:
    value = SMALL.to_dict()
    del value[key]
    with pytest.raises(UserError, match=f"architecture: missing key {key}"):
        Architecture.from_dict(value)


@pytest.mark.parametrize("text", ["", "[1, 2]", "a: [", "- &a [*a]", "\x00"])
def test_files_that_hold_no_architecture(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"bad\.yaml"):
        Architecture.load(path)


def test_model_config_checks() -> None:
    assert ModelConfig(SMALL, 9, 9).encoder_super_dim == 6
    with pytest.raises(UserError, match="encoder_super_dim: 5 is less than"):
        ModelConfig(SMALL, 9, 9, encoder_super_dim=5)
    with pytest.raises(UserError, match="one vocabulary"):
        ModelConfig(SMALL, 9, 8)
    with pytest.raises(UserError, match="the choices are shared, separate"):
        ModelConfig(SMALL, 9, 9, embeddings="tied")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="norm: 'both'; the choices are post, pre"):
        ModelConfig(SMALL, 9, 9, norm="both")  # type: ignore[arg-type]
