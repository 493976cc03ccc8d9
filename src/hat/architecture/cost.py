"""Closed-form cost of an architecture, by the counting rules of the published models."""

from dataclasses import dataclass
from math import prod

from hat.architecture.architecture import Architecture
from hat.architecture.evolved import EvolvedArchitecture, evolved_macs
from hat.architecture.families import AnyArchitecture
from hat.architecture.shapes import attention_macs
from hat.architecture.weights import EMBEDDING_NAMES, ModelConfig, weight_shapes

PRECISION_BITS = {"float32": 32, "bfloat16": 16, "float16": 16, "int8": 8}
PRECISION_BITS |= {f"kmeans{bits}": bits for bits in range(1, 9)}


@dataclass(frozen=True)
class Cost:
    """`parameters`: weights and biases without embeddings and output projection. `flops`: of one
    teacher-forced pass over one sentence, without the output projection."""

    parameters: int
    flops: int


def cost(architecture: AnyArchitecture, length: int = 30) -> Cost:
    """Parameters and FLOPs as published, with source and target of `length` tokens each.

    FLOPs are 2 × multiply-accumulates. Besides the matrix products the published count has one per
    LayerNorm element, per scaled query element and per scaled embedding element, one per token and
    side, and three per attention (measured: it makes all 44 published figures exact).
    """
    if isinstance(architecture, EvolvedArchitecture):
        macs = evolved_macs(architecture, length)
    else:
        macs = _transformer_macs(architecture, length)
    shapes = weight_shapes(ModelConfig(architecture, 1, 1))
    parameters = sum(prod(shape) for name, shape in shapes.items() if name not in EMBEDDING_NAMES)
    return Cost(parameters, 2 * macs)


def artefact_bytes(config: ModelConfig, precision: str = "float32") -> tuple[int, int]:
    """Bytes of the weights at `precision`, without and with embeddings; scales, code books and headers
    are not counted."""
    sizes = {name: prod(shape) for name, shape in weight_shapes(config).items()}
    embeddings = sum(size for name, size in sizes.items() if name in EMBEDDING_NAMES)
    whole = sum(sizes.values())
    bits = PRECISION_BITS[precision]
    return (whole - embeddings) * bits // 8, whole * bits // 8


def _transformer_macs(architecture: Architecture, length: int) -> int:
    qkv, enc, dec = architecture.qkv_dim, architecture.encoder_dim, architecture.decoder_dim
    macs = length * (enc + 1) + length * (dec + 1)
    for layer in architecture.encoder.layers:
        macs += attention_macs(qkv, enc, enc, length, length)
        macs += _norms_and_ffn(enc, layer.ffn_dim, length, norms=2)
    for decoder_layer in architecture.decoder.layers:
        keys = length * decoder_layer.encoder_layers_attended
        macs += attention_macs(qkv, dec, dec, length, length)
        macs += attention_macs(qkv, dec, enc, length, keys)
        macs += _norms_and_ffn(dec, decoder_layer.ffn_dim, length, norms=3)
    return macs


def _norms_and_ffn(dim: int, ffn_dim: int, length: int, norms: int) -> int:
    return norms * length * dim + 2 * length * dim * ffn_dim
