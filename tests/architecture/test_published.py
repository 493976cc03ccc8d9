"""Architectures of the published code, wherever an architecture file is read."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from hat.architecture import Architecture, load_architecture
from hat.architecture.published import nested, schema_of
from hat.errors import UserError
from hat.interop import read_published_yaml

FIELDS: dict[str, Any] = {
    "encoder": {
        "encoder_embed_dim": 640,
        "encoder_layer_num": 2,
        "encoder_ffn_embed_dim": [2048, 1024, 512],
        "encoder_self_attention_heads": [2, 4, 2],
    },
    "decoder": {
        "decoder_embed_dim": 512,
        "decoder_layer_num": 2,
        "decoder_ffn_embed_dim": [512, 1024],
        "decoder_self_attention_heads": [2, 4],
        "decoder_ende_attention_heads": [4, 2],
        "decoder_arbitrary_ende_attn": [-1, 2],
    },
}
EXPECTED = Architecture.from_dict(
    {
        "qkv_dim": 512,
        "encoder": {
            "embed_dim": 640,
            "layers": [{"ffn_dim": 2048, "heads": 2}, {"ffn_dim": 1024, "heads": 4}],
        },
        "decoder": {
            "embed_dim": 512,
            "layers": [
                {"ffn_dim": 512, "self_heads": 2, "cross_heads": 4, "encoder_layers_attended": 1},
                {"ffn_dim": 1024, "self_heads": 4, "cross_heads": 2, "encoder_layers_attended": 2},
            ],
        },
    }
)


def flat(fields: dict[str, Any]) -> dict[str, Any]:
    values = {name: value for side in fields.values() for name, value in side.items()}
    return {
        f"{name.replace('_', '-')}{'-all' if isinstance(value, list) else ''}-subtransformer": value
        for name, value in values.items()
    }


NARROW = str(FIELDS).replace("640", "512")
EXPERTS = {**FIELDS, "encoder": {**FIELDS["encoder"], "encoder_n_experts": [1, 2]}}
EXPERTS_FLAT = {**flat(FIELDS), "encoder-n-experts-all-subtransformer": [1]}
FORMS = {
    "as printed": str(FIELDS),
    "a line of a log": f"| Lowest loss: 4.2\n| Config for lowest loss model: {FIELDS}\n| Predicted: 1.0\n",
    "the last of a log": f"| Config: {NARROW}\n| SubTransformer Arch: {FIELDS} \n\n",
    "with tuples": str(FIELDS).replace("[", "(").replace("]", ")"),
    "JSON": json.dumps(FIELDS, indent=1),
    "YAML": yaml.safe_dump(FIELDS),
    "settings": yaml.safe_dump(flat(FIELDS)),
    "settings with a width": yaml.safe_dump({**flat(FIELDS), "qkv-dim": 512}),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_an_architecture(tmp_path: Path, form: str) -> None:
    path = tmp_path / "arch.yml"
    path.write_text(FORMS[form])
    assert load_architecture(path) == EXPECTED
    assert Architecture.load(path) == EXPECTED


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (str({**FIELDS, "experts": 4}), "unknown key experts"),
        (str(EXPERTS), "unknown key encoder_n_experts"),
        (str({"encoder": FIELDS["encoder"]}), "missing key decoder"),
        (yaml.safe_dump(EXPERTS_FLAT), "unknown key encoder_n_experts"),
        (yaml.safe_dump({**flat(FIELDS), "arch": "transformer_moe"}), "unknown key arch"),
        (str(FIELDS).replace("-1", "3"), "decoder_arbitrary_ende_attn: 3; the choices are -1, 1, 2"),
        (str(FIELDS).replace("-1", "True"), "decoder_arbitrary_ende_attn: True; the choices are -1, 1, 2"),
        (str(FIELDS).replace("640", "__import__('os').getcwd()"), "arch.yml:1: not an architecture: "),
        ("{'encoder': " + "[" * 5000 + "]" * 5000 + "}", "arch.yml:1: not an architecture: "),
        ("{'encoder': " + "9" * 200_000 + "}", "arch.yml:1: not an architecture: "),
        (str(FIELDS).replace("[2, 4, 2]", "[2, 3, 2]"), "3 heads do not divide qkv_dim 512"),
    ],
)  # fmt: skip
def test_mistakes_are_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "arch.yml"
    path.write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        load_architecture(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_mistakes_in_a_log_have_its_line(tmp_path: Path) -> None:
    path = tmp_path / "search.log"
    for wrong in (str(FIELDS).replace("[2, 4, 2]", "[2, 3, 2]"), str(EXPERTS), "{'encoder': x}"):
        path.write_text(f"| Config: {NARROW}\n| not: [YAML\n| Best: {wrong} (found)\n")
        for load in (Architecture.load, load_architecture, read_published_yaml):
            with pytest.raises(UserError, match=r"search\.log:3: "):
                load(path)


def test_settings_and_dictionary_say_the_same() -> None:
    settings = {name.replace("-", "_"): value for name, value in flat(FIELDS).items()}
    assert nested(settings) == FIELDS
    assert Architecture.from_dict(schema_of(FIELDS, 512)) == EXPECTED


def test_a_configuration_of_a_search_lists_layers_that_it_does_not_have(tmp_path: Path) -> None:
    """Six items in every list, whatever the number of decoder layers: the last ones are ignored."""
    path = tmp_path / "log_dict.yml"
    encoder = {**FIELDS["encoder"], "encoder_layer_num": 3}
    decoder = {name: value * 3 for name, value in FIELDS["decoder"].items() if isinstance(value, list)}
    decoder |= {"decoder_embed_dim": 512, "decoder_layer_num": 4}
    decoder["decoder_arbitrary_ende_attn"] = [2, 1, 2, 1, 1, -1]
    path.write_text(str({"encoder": encoder, "decoder": decoder}))
    found = Architecture.load(path)
    assert [layer.encoder_layers_attended for layer in found.decoder.layers] == [3, 2, 3, 2]
