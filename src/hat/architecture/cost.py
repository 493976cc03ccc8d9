"""Closed-form cost of an architecture, by the counting rules of the published models."""

from dataclasses import dataclass
from math import prod

from hat.architecture.families import family_of
from hat.architecture.family import AnyArchitecture
from hat.architecture.weights import EMBEDDING_NAMES, FACTOR_NAMES, ModelConfig, weight_shapes

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
    parameters, _ = weight_counts(ModelConfig(architecture, 1, 1))
    return Cost(parameters, 2 * family_of(architecture).work(architecture, length))


def weight_counts(config: ModelConfig) -> tuple[int, int]:
    """Weights and biases, without and with embeddings."""
    sizes = {name: prod(shape) for name, shape in weight_shapes(config).items()}
    whole = sum(sizes.values())
    embeddings = sum(sizes.get(name, 0) for name in (*EMBEDDING_NAMES, *FACTOR_NAMES))
    return whole - embeddings, whole


def artefact_bytes(config: ModelConfig, precision: str = "float32") -> tuple[int, int]:
    """Bytes of the weights at `precision`, without and with embeddings; scales, code books and headers
    are not counted."""
    without, whole = weight_counts(config)
    bits = PRECISION_BITS[precision]
    return without * bits // 8, whole * bits // 8
