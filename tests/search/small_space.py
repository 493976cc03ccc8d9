"""A space that can be enumerated, with a synthetic loss and synthetic costs."""

from collections.abc import Callable, Sequence
from math import sin

import numpy as np
import numpy.typing as npt

from hat.architecture import Architecture
from hat.search import OBJECTIVES, CostLimit, SearchProblem
from hat.space import DesignSpace

SPACE = DesignSpace(
    encoder_embed_dim=(64, 48),
    decoder_embed_dim=(64, 48),
    encoder_layers=(2, 1),
    decoder_layers=(2, 1),
    encoder_ffn_dim=(128, 96, 64),
    encoder_heads=(4,),
    decoder_ffn_dim=(128, 96, 64),
    decoder_self_heads=(4, 2),
    decoder_cross_heads=(4,),
    encoder_layers_attended=(1, 2),
    qkv_dim=(64,),
)


def latency(architectures: Sequence[Architecture]) -> npt.NDArray[np.float64]:
    return np.array([milliseconds(one) for one in architectures])


def milliseconds(one: Architecture) -> float:
    encoder = sum(0.1 + layer.ffn_dim / 1000 for layer in one.encoder.layers)
    decoder = sum(1 + row.ffn_dim / 100 + 0.2 * row.encoder_layers_attended for row in one.decoder.layers)
    return encoder + decoder * (1 + one.decoder.embed_dim / 128)


def loss(one: Architecture) -> float:
    """Falls with size, by layer, with ripples that make sizes interact and every loss distinct."""
    gain = 0.02 * one.encoder.embed_dim + 0.03 * one.decoder.embed_dim
    for index, layer in enumerate(one.encoder.layers):
        gain += 0.5 + layer.ffn_dim / (100 + 37 * index)
    for index, row in enumerate(one.decoder.layers):
        gain += 0.7 + row.ffn_dim / (90 + 41 * index) + 0.1 * row.self_heads
        gain += 0.2 * row.encoder_layers_attended * (one.encoder.embed_dim == 64)
    genes = SPACE.encode(one)
    ripple = sum(sin(a * b / 500 + i) for i, (a, b) in enumerate(zip(genes, genes[2:], strict=False)))
    return 10 - 0.5 * gain + 0.05 * ripple


def bulk(architectures: Sequence[Architecture]) -> npt.NDArray[np.float64]:
    """A cost that the encoder dominates, as the decoder dominates the latency."""
    return np.array([_bulk(one) for one in architectures])


def _bulk(one: Architecture) -> float:
    encoder = sum(one.encoder.embed_dim * layer.ffn_dim for layer in one.encoder.layers)
    return 1e3 * (encoder + sum(row.ffn_dim for row in one.decoder.layers))


def problem(
    latency_ms: float, function: Callable[[Architecture], float] = loss, *, size: float | None = None
) -> SearchProblem:
    """A search under a limit on the latency, and on the size (`bulk`) where one is given."""
    limits = [CostLimit(OBJECTIVES["latency"], latency, latency_ms)]
    if size is not None:
        limits.append(CostLimit(OBJECTIVES["size"], bulk, size))
    return SearchProblem(SPACE, function, tuple(limits))
