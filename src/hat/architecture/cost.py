"""Closed-form cost of an architecture, by the counting rules of the published models."""

from dataclasses import dataclass
from math import prod

from hat.architecture.architecture import Architecture
from hat.architecture.weights import EMBEDDING_NAMES, ModelConfig, weight_shapes

PRECISION_BITS = {"float32": 32, "bfloat16": 16, "float16": 16, "int8": 8, "int4": 4}


@dataclass(frozen=True)
class Cost:
    """`parameters`: weights and biases without embeddings and output projection. `flops`: of one
    teacher-forced pass over one sentence, without the output projection."""

    parameters: int
    flops: int


def cost(architecture: Architecture, length: int = 30) -> Cost:
    """Parameters and FLOPs as published, with source and target of `length` tokens each.

    FLOPs are 2 × multiply-accumulates. Besides the matrix products the published count has one per
    LayerNorm element, per scaled query element and per scaled embedding element, one per token and
    side, and three per attention (measured: it makes all 44 published figures exact).
    """
    qkv = architecture.qkv_dim
    encoder, decoder = architecture.encoder, architecture.decoder
    macs = length * (encoder.embed_dim + 1) + length * (decoder.embed_dim + 1)
    for layer in encoder.layers:
        macs += _attention(qkv, encoder.embed_dim, encoder.embed_dim, length, length)
        macs += _norms_and_ffn(encoder.embed_dim, layer.ffn_dim, length, norms=2)
    for decoder_layer in decoder.layers:
        keys = length * decoder_layer.encoder_layers_attended
        macs += _attention(qkv, decoder.embed_dim, decoder.embed_dim, length, length)
        macs += _attention(qkv, decoder.embed_dim, encoder.embed_dim, length, keys)
        macs += _norms_and_ffn(decoder.embed_dim, decoder_layer.ffn_dim, length, norms=3)
    shapes = weight_shapes(ModelConfig(architecture, 1, 1))
    parameters = sum(prod(shape) for name, shape in shapes.items() if name not in EMBEDDING_NAMES)
    return Cost(parameters, 2 * macs)


def artefact_bytes(config: ModelConfig, precision: str = "float32") -> tuple[int, int]:
    """Bytes of the weights at `precision`, without and with embeddings (scales and headers apart)."""
    sizes = {name: prod(shape) for name, shape in weight_shapes(config).items()}
    embeddings = sum(size for name, size in sizes.items() if name in EMBEDDING_NAMES)
    whole = sum(sizes.values())
    bits = PRECISION_BITS[precision]
    return (whole - embeddings) * bits // 8, whole * bits // 8


def _attention(qkv: int, query_dim: int, key_dim: int, queries: int, keys: int) -> int:
    projections = queries * query_dim * qkv + 2 * keys * key_dim * qkv + queries * qkv * query_dim
    products = 2 * queries * keys * qkv
    return projections + products + queries * qkv + 3


def _norms_and_ffn(dim: int, ffn_dim: int, length: int, norms: int) -> int:
    return norms * length * dim + 2 * length * dim * ffn_dim
