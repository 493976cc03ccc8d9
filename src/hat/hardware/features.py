"""What of an architecture costs time, in closed form: the predictors' features."""

from collections.abc import Callable, Sequence
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from hat.architecture import Architecture

Array = NDArray[np.float64]

# More of any of these is never faster: work (multiply-accumulates per source token or per step; in
# the decoder also the weights that each step reads), elements of the attention softmax (one per
# head and key), kernels started (layers).
FEATURES: dict[str, Callable[[Architecture], float]] = {
    "encoder_attention": lambda a: len(a.encoder.layers) * a.encoder.embed_dim * a.qkv_dim,
    "encoder_ffn": lambda a: a.encoder.embed_dim * sum(x.ffn_dim for x in a.encoder.layers),
    "encoder_softmax": lambda a: sum(x.heads for x in a.encoder.layers),
    "encoder_layers": lambda a: len(a.encoder.layers),
    "decoder_attention": lambda a: len(a.decoder.layers) * a.decoder.embed_dim * a.qkv_dim,
    "decoder_ffn": lambda a: a.decoder.embed_dim * sum(x.ffn_dim for x in a.decoder.layers),
    "decoder_softmax": lambda a: sum(x.self_heads for x in a.decoder.layers),
    "decoder_layers": lambda a: len(a.decoder.layers),
    "cross_keys": lambda a: a.qkv_dim * _attended(a),
    "cross_projection": lambda a: a.encoder.embed_dim * a.qkv_dim * _attended(a),
    "cross_softmax": lambda a: sum(x.cross_heads * x.encoder_layers_attended for x in a.decoder.layers),
    "output_projection": lambda a: a.decoder.embed_dim,
}


def features(architectures: Sequence[Architecture]) -> Array:
    """A row of FEATURES for each architecture."""
    rows = [[float(of(a)) for of in FEATURES.values()] for a in architectures]
    return np.array(rows).reshape(-1, len(FEATURES))


def paper_features(architectures: Sequence[Architecture]) -> Array:
    """The ten numbers that the paper's predictor sees: dims, depths, means (REFERENCE item 20)."""
    rows = []
    for a in architectures:
        encoder, decoder = a.encoder.layers, a.decoder.layers
        rows.append(
            [
                a.encoder.embed_dim,
                len(encoder),
                fmean(layer.ffn_dim for layer in encoder),
                fmean(layer.heads for layer in encoder),
                a.decoder.embed_dim,
                len(decoder),
                fmean(layer.ffn_dim for layer in decoder),
                fmean(layer.self_heads for layer in decoder),
                fmean(layer.cross_heads for layer in decoder),
                fmean(layer.encoder_layers_attended for layer in decoder),
            ]
        )
    return np.array(rows, float).reshape(-1, 10)


def _attended(architecture: Architecture) -> int:
    return sum(layer.encoder_layers_attended for layer in architecture.decoder.layers)
