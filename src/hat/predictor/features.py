"""The properties of an architecture that cost time or memory, in closed form: the predictors' features."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from hat.architecture import Architecture, DecoderLayer, EncoderLayer
from hat.arguments import check_choice
from hat.errors import UserError

Array = NDArray[np.float64]
Pairs = Sequence[tuple[int, int]]
# Architectures, or where only averages are known a row of PAPER_COLUMNS for each of them.
Inputs = Sequence[Architecture] | Array

TYPICAL: tuple[tuple[int, int], ...] = ((30, 30),)
# The inputs of the paper's predictor, as the published sets name them (docs/reference.md, Latency predictor).
AVERAGES_OF: dict[str, Callable[[Architecture], float]] = {
    "encoder_embed_dim": lambda a: a.encoder.embed_dim,
    "encoder_layer_num": lambda a: len(a.encoder.layers),
    "encoder_ffn_embed_dim_avg": lambda a: fmean(x.ffn_dim for x in a.encoder.layers),
    "encoder_self_attention_heads_avg": lambda a: fmean(x.heads for x in a.encoder.layers),
    "decoder_embed_dim": lambda a: a.decoder.embed_dim,
    "decoder_layer_num": lambda a: len(a.decoder.layers),
    "decoder_ffn_embed_dim_avg": lambda a: fmean(x.ffn_dim for x in a.decoder.layers),
    "decoder_self_attention_heads_avg": lambda a: fmean(x.self_heads for x in a.decoder.layers),
    "decoder_ende_attention_heads_avg": lambda a: fmean(x.cross_heads for x in a.decoder.layers),
    "decoder_arbitrary_ende_attn_avg": lambda a: fmean(x.encoder_layers_attended for x in a.decoder.layers),
}
PAPER_COLUMNS = tuple(AVERAGES_OF)


@dataclass(frozen=True)
class Term:
    """`count` of an architecture × (source length)^source × (target length)^target."""

    count: Callable[[Architecture], float]
    source: int = 0
    target: int = 0


def _encoder_widths(a: Architecture) -> list[int]:
    """Width of the self-attention of each encoder layer."""
    return [(x.qkv_dim or a.qkv_dim) if x.heads else 0 for x in a.encoder.layers]


def _self_widths(a: Architecture) -> list[int]:
    """Width of the self-attention of each decoder layer."""
    return [(x.self_qkv_dim or a.qkv_dim) if x.self_heads else 0 for x in a.decoder.layers]


def _cross_widths(a: Architecture) -> list[int]:
    """Width of each decoder layer's attention to the encoder."""
    return [(x.cross_qkv_dim or a.qkv_dim) if x.cross_heads else 0 for x in a.decoder.layers]


def _decoder_widths(a: Architecture) -> list[float]:
    """Of the weights of a decoder layer's attentions at each step four matrices are the self-attention's and
    two the other's: the mean width of the six."""
    return [(2 * own + cross) / 3 for own, cross in zip(_self_widths(a), _cross_widths(a), strict=True)]


def _run(layers: Sequence[EncoderLayer | DecoderLayer], counts: Sequence[float]) -> float:
    """The sum of what each layer has, as often as the layer runs."""
    return sum(layer.passes * count for layer, count in zip(layers, counts, strict=True))


def _attended(a: Architecture, widths: Sequence[int]) -> int:
    """The sum of widths, each as often as the decoder layer attends to encoder layers."""
    layers = a.decoder.layers
    return sum(x.encoder_layers_attended * width for x, width in zip(layers, widths, strict=True))


def _parts(*sizes: int) -> int:
    """The number of sub-layers that are not absent."""
    return sum(map(bool, sizes))


def _rank(architecture: Architecture) -> int:
    """The columns of factorised embeddings; 0 for embeddings without factors."""
    return architecture.embedding_rank or 0


# The factors of embeddings of rank r cost what a feed-forward layer r wide costs; in the encoder, where there
# is one of the two, half of it.
# More of any of these is never faster: work (multiply-accumulates; in the decoder also the weights that each
# step reads), keys and values read, elements of the attention softmax, kernels started (layers; a layer that
# lacks sub-layers is a fraction of one). The weights stand for constant factors, the intercept for the cost
# that every sentence has.
TERMS = {
    "encoder_attention": Term(
        lambda a: a.encoder.embed_dim * _run(a.encoder.layers, _encoder_widths(a)), source=1
    ),
    "encoder_ffn": Term(
        lambda a: a.encoder.embed_dim * (sum(x.passes * x.ffn_dim for x in a.encoder.layers) + _rank(a) / 2),
        source=1,
    ),
    "encoder_softmax": Term(lambda a: sum(x.passes * x.heads for x in a.encoder.layers), source=2),
    "encoder_layers": Term(
        lambda a: sum(x.passes * _parts(x.ffn_dim, x.heads) for x in a.encoder.layers) / 2
    ),
    "cross_projection": Term(lambda a: a.encoder.embed_dim * _attended(a, _cross_widths(a)), source=1),
    "decoder_attention": Term(
        lambda a: a.decoder.embed_dim * _run(a.decoder.layers, _decoder_widths(a)), target=1
    ),
    "decoder_ffn": Term(
        lambda a: a.decoder.embed_dim * (sum(x.passes * x.ffn_dim for x in a.decoder.layers) + _rank(a)),
        target=1,
    ),
    "decoder_layers": Term(
        lambda a: (
            sum(x.passes * _parts(x.ffn_dim, x.self_heads, x.cross_heads) for x in a.decoder.layers) / 3
        ),
        target=1,
    ),
    "self_keys": Term(lambda a: _run(a.decoder.layers, _self_widths(a)), target=2),
    "self_softmax": Term(lambda a: sum(x.passes * x.self_heads for x in a.decoder.layers), target=2),
    "cross_keys": Term(
        lambda a: _attended(
            a, [x.passes * n for x, n in zip(a.decoder.layers, _cross_widths(a), strict=True)]
        ),
        source=1,
        target=1,
    ),
    "cross_softmax": Term(
        lambda a: _attended(a, [x.passes * x.cross_heads for x in a.decoder.layers]), source=1, target=1
    ),
    "output_projection": Term(lambda a: _rank(a) or a.decoder.embed_dim, target=1),
    "steps": Term(lambda a: 1, target=1),
}
# More of any of these never takes less memory: the weights of each part (of embeddings for each word; shared
# ones are as wide as the wider side), and the keys and values that decoding keeps.
WEIGHTS: dict[str, Callable[[Architecture], float]] = {
    "encoder_embedding": lambda a: _rank(a) or a.encoder.embed_dim,
    "decoder_embedding": lambda a: _rank(a) or a.decoder.embed_dim,
    "shared_embedding": lambda a: _rank(a) or max(a.encoder.embed_dim, a.decoder.embed_dim),
    "encoder_attention": lambda a: a.encoder.embed_dim * sum(_encoder_widths(a)),
    "encoder_ffn": lambda a: a.encoder.embed_dim * (sum(x.ffn_dim for x in a.encoder.layers) + _rank(a) / 2),
    "cross_attention": lambda a: a.encoder.embed_dim * sum(_cross_widths(a)),
    "decoder_attention": lambda a: a.decoder.embed_dim * sum(_decoder_widths(a)),
    "decoder_ffn": lambda a: a.decoder.embed_dim * (sum(x.ffn_dim for x in a.decoder.layers) + _rank(a)),
    "self_keys": TERMS["self_keys"].count,
    "cross_keys": lambda a: _attended(a, _cross_widths(a)),
}


@dataclass(frozen=True)
class FeatureSet:
    """A row of features is `counts` of the architecture × `lengths` of the sentence pair."""

    names: tuple[str, ...]
    counts: Callable[[Inputs], Array]  # (N, features)
    lengths: Callable[[Pairs], Array]  # (pairs, features)


def features(architectures: Sequence[Architecture], pairs: Pairs | None = None) -> Array:
    """TERMS of each architecture, (N, len(TERMS)): means over pairs of (source, target) length."""
    mean: Array = _term_lengths(pairs or TYPICAL).mean(axis=0)
    return LAYERS.counts(architectures) * mean


def paper_features(architectures: Inputs) -> Array:
    """PAPER_COLUMNS of each architecture, (N, 10): dims, depths, means over layers. Rows of PAPER_COLUMNS are
    returned unchanged. Raises UserError for rows that are not ten positive numbers."""
    if isinstance(architectures, np.ndarray):
        if architectures.ndim != 2 or architectures.shape[1] != len(PAPER_COLUMNS):
            raise UserError(f"averages of shape {architectures.shape}; expected rows of {len(PAPER_COLUMNS)}")
        if not (np.isfinite(architectures) & (architectures > 0)).all():
            raise UserError("averages must be positive numbers")
        return architectures
    return _counts(architectures, [*AVERAGES_OF.values()])


def feature_set(name: object) -> FeatureSet:
    """The set of that name in FEATURE_SETS. Raises UserError."""
    check_choice("features", name, FEATURE_SETS)
    return FEATURE_SETS[str(name)]


def _counts(architectures: Inputs, counts: Sequence[Callable[[Architecture], float]]) -> Array:
    if isinstance(architectures, np.ndarray):
        raise UserError("averages say nothing of single layers: they need features='averages'")
    rows = [[float(count(architecture)) for count in counts] for architecture in architectures]
    return np.array(rows).reshape(-1, len(counts))


def _term_lengths(pairs: Pairs) -> Array:
    return np.array([[float(S**term.source * T**term.target) for term in TERMS.values()] for S, T in pairs])


def _from_averages(averages: Array) -> dict[str, Array]:
    """The TERMS that follow from averages. Depth × average is the sum over layers, which more depth never
    lowers, as it may lower an average."""
    enc, enc_depth, enc_ffn, enc_heads, dec, depth, ffn, self_heads, cross_heads, attended = averages.T
    return {
        "encoder_layers": enc_depth,
        "encoder_attention": enc_depth * enc,
        "encoder_ffn": enc_depth * enc_ffn * enc,
        "encoder_softmax": enc_depth * enc_heads,
        "cross_projection": depth * attended * enc,
        "decoder_layers": depth,
        "decoder_attention": depth * dec,
        "decoder_ffn": depth * ffn * dec,
        "decoder_ffn_width": depth * ffn,
        "self_softmax": depth * self_heads,
        "cross_softmax": depth * cross_heads,
        "cross_keys": depth * attended,
        "output_projection": dec,
    }


def _average_counts(architectures: Inputs) -> Array:
    return np.array(list(_from_averages(paper_features(architectures)).values())).T


def _no_lengths(pairs: Pairs) -> Array:
    if pairs != TYPICAL:
        raise UserError("a predictor of averages or weights knows no sentence lengths")
    return np.ones((1, 1))


LAYERS = FeatureSet(
    tuple(TERMS), partial(_counts, counts=[term.count for term in TERMS.values()]), _term_lengths
)
AVERAGES = FeatureSet(tuple(_from_averages(np.ones((1, len(PAPER_COLUMNS))))), _average_counts, _no_lengths)
FEATURE_SETS = {
    "layers": LAYERS,
    "averages": AVERAGES,
    "weights": FeatureSet(tuple(WEIGHTS), partial(_counts, counts=[*WEIGHTS.values()]), _no_lengths),
}
