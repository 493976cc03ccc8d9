"""The published field names of architectures."""

import random
from typing import Any

import pytest

from hat.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer
from hat.errors import UserError
from hat.interop import architecture_from_reference, architecture_to_reference
from hat.zoo import published_models, space


def published(**decoder: Any) -> dict[str, Any]:
    return {
        "encoder": {
            "encoder_embed_dim": 512,
            "encoder_layer_num": 2,
            "encoder_ffn_embed_dim": [1024, 2048],
            "encoder_self_attention_heads": [4, 8],
        },
        "decoder": {
            "decoder_embed_dim": 640,
            "decoder_layer_num": 2,
            "decoder_ffn_embed_dim": [3072, 1024, 2048],
            "decoder_self_attention_heads": [8, 4, 4],
            "decoder_ende_attention_heads": [4, 8, 4],
            "decoder_arbitrary_ende_attn": [-1, 2, 1],
            **decoder,
        },
    }


def test_fields_become_layers() -> None:
    assert architecture_from_reference(published(), 512) == Architecture(
        512,
        Encoder(512, (EncoderLayer(1024, 4), EncoderLayer(2048, 8))),
        # The third layer does not exist, and of three encoder layers to attend to there are two.
        Decoder(640, (DecoderLayer(3072, 8, 4, 1), DecoderLayer(1024, 4, 8, 2))),
    )


def test_round_trip() -> None:
    rng = random.Random(0)
    architectures = [Architecture.from_dict(model["architecture"]) for model in published_models()]
    architectures += [space("wmt-space0").sample(rng) for _ in range(20)]
    for architecture in architectures:
        written = architecture_to_reference(architecture)
        assert architecture_from_reference(written, architecture.qkv_dim) == architecture


@pytest.mark.parametrize(
    ("decoder", "message"),
    [
        ({"decoder_arbitrary_ende_attn": [-1, 0]}, "arbitrary_ende_attn: 0; the choices are -1, 1"),
        ({"decoder_ffn_embed_dim": [3072]}, "decoder_ffn_embed_dim: expected a list of 2 values"),
        ({"decoder_layer_num": 0}, "decoder_layer_num: 0 is not a positive"),
        ({"decoder_self_attention_heads": [8, 3]}, r"c\.yml: .*3 heads do not divide qkv_dim 512"),
        ({"heads": 1}, "unknown key heads; the known keys are decoder_embed_dim"),
    ],
)
def test_mistakes_are_named(decoder: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        architecture_from_reference(published(**decoder), 512, "c.yml")


def test_what_published_fields_cannot_express_is_refused() -> None:
    layers = tuple(EncoderLayer(8, 1) for _ in range(4))
    architecture = Architecture(8, Encoder(8, layers), Decoder(8, (DecoderLayer(8, 1, 1, 4),)))
    with pytest.raises(UserError, match="encoder_layers_attended 4"):
        architecture_to_reference(architecture)
    for layer in (
        EncoderLayer(0, 1),
        EncoderLayer(8, 0),
        EncoderLayer(8, 1, qkv_dim=4),
        EncoderLayer(8, 1, passes=2),
    ):
        uneven = Architecture(8, Encoder(8, (layer,)), Decoder(8, (DecoderLayer(8, 1, 1),)))
        with pytest.raises(UserError, match="the published fields cannot express it"):
            architecture_to_reference(uneven)
