"""Architectures in the published code's field names, to ours and back."""

from collections.abc import Mapping
from typing import Any

from hat.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer
from hat.errors import UserError, shown
from hat.files import check_keys

ENCODER_LISTS = ("encoder_ffn_embed_dim", "encoder_self_attention_heads")
DECODER_LISTS = (
    "decoder_ffn_embed_dim",
    "decoder_self_attention_heads",
    "decoder_ende_attention_heads",
    "decoder_arbitrary_ende_attn",
)
# Published code for arbitrary attention -> how many of the last encoder layers it means.
ATTENDED = {-1: 1, 1: 2, 2: 3}


def architecture_from_reference(
    configuration: object, qkv_dim: int, where: str = "configuration"
) -> Architecture:
    """Convert {"encoder": …, "decoder": …} as the published code's samplers and searches write it.

    Its lists may be longer than the layer count: what exceeds it belongs to no layer. A decoder
    layer that attends to more layers than the encoder has attends to all (REFERENCE item 13).
    Raises UserError naming the field.
    """
    sides = check_keys(configuration, ("encoder", "decoder"), where)
    dim, layers = _side(sides["encoder"], "encoder", ENCODER_LISTS, where)
    encoder = Encoder(dim, tuple(EncoderLayer(*layer) for layer in layers))
    dim, layers = _side(sides["decoder"], "decoder", DECODER_LISTS, where)
    decoder_layers = []
    for ffn_dim, self_heads, cross_heads, code in layers:
        if not isinstance(code, int) or code not in ATTENDED:
            choices = ", ".join(map(str, ATTENDED))
            field = f"{where}.decoder.decoder_arbitrary_ende_attn"
            raise UserError(f"{field}: {shown(code)}; the choices are {choices}")
        attended = min(ATTENDED[code], len(encoder.layers))
        decoder_layers.append(DecoderLayer(ffn_dim, self_heads, cross_heads, attended))
    try:
        return Architecture(qkv_dim, encoder, Decoder(dim, tuple(decoder_layers)))
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def architecture_to_reference(architecture: Architecture) -> dict[str, dict[str, Any]]:
    """The published field names (`qkv_dim`, fixed there, is left out).

    Raises UserError for attention to more than three encoder layers, which they cannot express.
    """
    codes = {attended: code for code, attended in ATTENDED.items()}
    encoder, decoder = architecture.encoder, architecture.decoder
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


def _side(value: object, side: str, lists: tuple[str, ...], where: str) -> tuple[int, list[tuple[Any, ...]]]:
    """Width of a side, and per layer the values that the lists give it."""
    width, depth = f"{side}_embed_dim", f"{side}_layer_num"
    fields: Mapping[str, Any] = check_keys(value, (width, depth, *lists), f"{where}.{side}")
    count = fields[depth]
    if not isinstance(count, int) or count < 1:
        raise UserError(f"{where}.{side}.{depth}: {shown(count)} is not a positive whole number")
    for name in lists:
        if not isinstance(fields[name], list | tuple) or len(fields[name]) < count:
            raise UserError(f"{where}.{side}.{name}: expected a list of {count} values or more")
    return fields[width], list(zip(*(fields[name][:count] for name in lists), strict=True))
