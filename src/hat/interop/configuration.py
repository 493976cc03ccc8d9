"""Architectures with the published code's field names, converted to HAT's and back."""

from typing import Any

from hat.architecture import Architecture
from hat.architecture.published import ATTENDED, schema_of
from hat.architecture.transformer import DEFAULTS
from hat.errors import UserError


def architecture_from_reference(
    configuration: object, qkv_dim: int, where: str = "configuration"
) -> Architecture:
    """Convert {"encoder": …, "decoder": …} in the form of the published code's samplers and searches.

    Raises UserError like `hat.architecture.published.schema_of`, and for numbers that no network can have.
    """
    return Architecture.from_dict(schema_of(configuration, qkv_dim, where), f"{where}: architecture")


def architecture_to_reference(architecture: Architecture) -> dict[str, dict[str, Any]]:
    """The published field names (`qkv_dim`, fixed there, is left out).

    Raises UserError for what they cannot express: attention to more than three encoder layers, sub-layers
    that are absent, attentions with a width of their own.
    """
    codes = {attended: code for code, attended in ATTENDED.items()}
    encoder, decoder = architecture.encoder, architecture.decoder
    for any_layer in (*encoder.layers, *decoder.layers):
        for name, value in vars(any_layer).items():
            if value == 0 or (name in DEFAULTS and value != DEFAULTS[name]):
                raise UserError(f"{name} {value}: the published fields cannot express it")
    for layer in decoder.layers:
        if layer.encoder_layers_attended not in codes:
            attended = f"encoder_layers_attended {layer.encoder_layers_attended}"
            raise UserError(f"{attended}: the published fields express at most 3")
    return {
        "encoder": {
            "encoder_embed_dim": encoder.embed_dim,
            "encoder_layer_num": len(encoder.layers),
            "encoder_ffn_embed_dim": [layer.ffn_dim for layer in encoder.layers],
            "encoder_self_attention_heads": [layer.heads for layer in encoder.layers],
        },
        "decoder": {
            "decoder_embed_dim": decoder.embed_dim,
            "decoder_layer_num": len(decoder.layers),
            "decoder_ffn_embed_dim": [layer.ffn_dim for layer in decoder.layers],
            "decoder_self_attention_heads": [layer.self_heads for layer in decoder.layers],
            "decoder_ende_attention_heads": [layer.cross_heads for layer in decoder.layers],
            "decoder_arbitrary_ende_attn": [codes[layer.encoder_layers_attended] for layer in decoder.layers],
        },
    }
