"""The same model in CTranslate2, as far as CTranslate2 can express it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ctranslate2
import numpy as np
import torch
from ctranslate2.specs import TransformerSpec
from ctranslate2.specs.attention_spec import MultiHeadAttentionSpec
from ctranslate2.specs.common_spec import LayerNormSpec, LinearSpec
from ctranslate2.specs.transformer_spec import TransformerDecoderSpec, TransformerEncoderSpec

from hat.architecture import Architecture, ModelConfig
from hat.errors import HatError, UserError
from hat.hardware import MeasureProtocol
from hat.model import sinusoids
from hat.runtime import Artefact
from hat.tokens import PAD

POSITIONS = 512
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")

Weights = dict[str, np.ndarray]


def expressible(architecture: Architecture, heads: int) -> Architecture:
    """The nearest architecture that CTranslate2 has: one head count, attention to the last layer only."""
    encoder, decoder = architecture.encoder, architecture.decoder
    uniform = {"self_heads": heads, "cross_heads": heads, "encoder_layers_attended": 1}
    return replace(
        architecture,
        encoder=replace(encoder, layers=tuple(replace(layer, heads=heads) for layer in encoder.layers)),
        decoder=replace(decoder, layers=tuple(replace(layer, **uniform) for layer in decoder.layers)),
    )


def convert(artefact: Artefact, folder: Path) -> None:
    """Write an artefact as a CTranslate2 model in float32; it quantizes when it loads.

    Raises UserError for an architecture that CTranslate2 cannot express.
    """
    config, weights = artefact.config.model, artefact.float_weights()
    architecture = config.architecture
    heads = architecture.encoder.layers[0].heads
    if expressible(architecture, heads) != architecture:
        raise UserError(f"{folder}: CTranslate2 has one head count and attends to the last layer only")
    # Post-norm, so without a final norm; embeddings are scaled by the root of their width by default.
    common = {"num_heads": heads, "pre_norm": False, "head_dim": architecture.qkv_dim // heads}
    encoder = TransformerEncoderSpec(len(architecture.encoder.layers), **common)
    decoder = TransformerDecoderSpec(len(architecture.decoder.layers), **common)
    _fill_ends(encoder, decoder, config, weights)
    for index, layer in enumerate(encoder.layer):
        _fill_layer(layer, f"encoder.{index}", weights)
    for index, layer in enumerate(decoder.layer):
        _fill_layer(layer, f"decoder.{index}", weights)
        _fill_cross_attention(layer.attention, f"decoder.{index}", weights)
    spec = TransformerSpec(encoder, decoder)
    spec.config.decoder_start_token = "</s>"
    spec.register_source_vocabulary(vocabulary(config.source_vocab))
    spec.register_target_vocabulary(vocabulary(config.target_vocab))
    spec.validate()
    spec.optimize()
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))


def vocabulary(size: int) -> list[str]:
    """Names for ids."""
    return [*SPECIAL, *map(str, range(len(SPECIAL), size))]


def forced(
    translator: ctranslate2.Translator, protocol: MeasureProtocol, sources_at_once: int = 0
) -> Callable[[list[list[int]]], None]:
    """Decoding for exactly the protocol's number of steps; `sources_at_once` splits a larger batch."""
    (steps,) = protocol.target_lengths

    def run(sources: list[list[int]]) -> None:
        results = translator.translate_batch(
            [[_name(token) for token in source] for source in sources],
            beam_size=protocol.beam,
            max_batch_size=sources_at_once,
            min_decoding_length=steps,
            max_decoding_length=steps,
        )
        if any(len(result.hypotheses[0]) != steps for result in results):
            raise HatError(f"CTranslate2 did not decode exactly {steps} steps")

    return run


def _name(token: int) -> str:
    return SPECIAL[token] if token < len(SPECIAL) else str(token)


def _fill_ends(
    encoder: TransformerEncoderSpec, decoder: TransformerDecoderSpec, config: ModelConfig, weights: Weights
) -> None:
    """Embeddings, positions and output projection."""
    architecture = config.architecture
    dims = {"source": architecture.encoder.embed_dim, "target": architecture.decoder.embed_dim}
    dims["output"] = dims["target"]
    shared = config.embeddings == "shared"
    matrices = {
        role: np.ascontiguousarray(weights["embedding" if shared else f"{role}_embedding"][:, :dim])
        for role, dim in dims.items()
    }
    encoder.embeddings[0].weight = matrices["source"]
    decoder.embeddings.weight = matrices["target"]
    decoder.projection.weight = matrices["output"]
    encoder.position_encodings.encodings = _positions(config.encoder_super_dim, dims["source"])
    decoder.position_encodings.encodings = _positions(config.decoder_super_dim, dims["target"])


def _positions(super_dim: int, dim: int) -> np.ndarray:
    """Ours count from PAD + 1, CTranslate2's from 0."""
    table = sinusoids(POSITIONS, super_dim, torch.float32, torch.device("cpu"))
    return np.ascontiguousarray(table.numpy()[PAD + 1 :, :dim])


def _fill_layer(layer: object, name: str, weights: Weights) -> None:
    """Self-attention and feed-forward part of an encoder or decoder layer."""
    attention: MultiHeadAttentionSpec = layer.self_attention
    _fill_linear(attention.linear[0], f"{name}.self_attention.qkv", weights)
    _fill_linear(attention.linear[1], f"{name}.self_attention.out", weights)
    _fill_norm(attention.layer_norm, f"{name}.self_attention_norm", weights)
    _fill_linear(layer.ffn.linear_0, f"{name}.fc1", weights)
    _fill_linear(layer.ffn.linear_1, f"{name}.fc2", weights)
    _fill_norm(layer.ffn.layer_norm, f"{name}.ffn_norm", weights)


def _fill_cross_attention(attention: MultiHeadAttentionSpec, name: str, weights: Weights) -> None:
    for linear, part in zip(attention.linear, ("q", "kv", "out"), strict=True):
        _fill_linear(linear, f"{name}.cross_attention.{part}", weights)
    _fill_norm(attention.layer_norm, f"{name}.cross_attention_norm", weights)


def _fill_linear(linear: LinearSpec, name: str, weights: Weights) -> None:
    """Ours may be several projections stacked along a first axis."""
    weight = weights[f"{name}.weight"]
    linear.weight = weight.reshape(-1, weight.shape[-1])
    linear.bias = weights[f"{name}.bias"].reshape(-1)


def _fill_norm(norm: LayerNormSpec, name: str, weights: Weights) -> None:
    norm.gamma, norm.beta = weights[f"{name}.weight"], weights[f"{name}.bias"]
