"""Random heterogeneous models, shared by the tests that hold engines equal."""

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from hat.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer, ModelConfig
from hat.runtime import Artefact, Hypothesis


def random_artefact(
    seed: int, precision: str = "float32", uneven: bool = False, *, embedding_rank: int | None = None
) -> Artefact:
    """Unequal widths, mixed heads and depths, odd SuperTransformer widths, norms after or before; 128 words
    are two in each group of the ONNX graph's search for the best ones, 50 are none. `uneven`: attentions with
    widths of their own, and layers that lack parts."""
    rng = random.Random(seed)
    heads = (1, 2, 3, 4, 6)
    encoder = tuple(EncoderLayer(rng.randint(5, 40), rng.choice(heads)) for _ in range(rng.randint(3, 4)))
    decoder = tuple(
        DecoderLayer(rng.randint(5, 40), rng.choice(heads), rng.choice(heads), rng.randint(1, 3))
        for _ in range(rng.randint(1, 3))
    )
    widths = rng.sample((16, 18, 21, 32), 2)
    if uneven:
        encoder = tuple(_uneven_encoder_layer(layer, rng) for layer in encoder)
        decoder = tuple(_uneven_decoder_layer(layer, rng) for layer in decoder)
    architecture = Architecture(24, Encoder(widths[0], encoder), Decoder(widths[1], decoder), embedding_rank)
    embeddings = "shared" if seed % 2 else "separate"
    vocabularies = (128, 128) if seed % 2 else (40, 50)
    supers = (widths[0] + rng.randint(0, 5), widths[1] + rng.randint(0, 25))
    norm = "pre" if seed % 4 > 1 else "post"
    config = ModelConfig(
        architecture,
        *vocabularies,
        embeddings=embeddings,  # type: ignore[arg-type]
        encoder_super_dim=supers[0],
        decoder_super_dim=supers[1],
        norm=norm,  # type: ignore[arg-type]
    )
    artefact = Artefact.random(config, seed)
    values = np.random.default_rng(seed)
    weights = {
        name: (weight + 0.1 * values.standard_normal(weight.shape)).astype(np.float32)
        for name, weight in artefact.weights.items()
    }
    return replace(artefact, weights=weights).at_precision(precision)


def _uneven_encoder_layer(layer: EncoderLayer, rng: random.Random) -> EncoderLayer:
    ffn_dim = rng.choice((layer.ffn_dim, layer.ffn_dim, 0))
    if rng.random() < 0.3:
        return EncoderLayer(ffn_dim, 0, passes=rng.choice((1, 2)))
    return EncoderLayer(ffn_dim, layer.heads, _width(layer.heads, rng), passes=rng.choice((1, 1, 3)))


def _uneven_decoder_layer(layer: DecoderLayer, rng: random.Random) -> DecoderLayer:
    ffn_dim = rng.choice((layer.ffn_dim, layer.ffn_dim, 0))
    own, cross = rng.random() > 0.3, rng.random() > 0.3
    return DecoderLayer(
        ffn_dim,
        layer.self_heads if own else 0,
        layer.cross_heads if cross else 0,
        layer.encoder_layers_attended if cross else 1,
        self_qkv_dim=_width(layer.self_heads, rng) if own else None,
        cross_qkv_dim=_width(layer.cross_heads, rng) if cross else None,
        passes=rng.choice((1, 1, 2)),
    )


def _width(heads: int, rng: random.Random) -> int:
    return heads * rng.randint(1, 12)


def sources(artefact: Artefact, seed: int, lengths: Sequence[int] = (5, 11, 1, 7)) -> list[list[int]]:
    """A batch of sentences of `lengths` words and the final </s>."""
    rng = random.Random(seed)
    return [[*(rng.randrange(3, artefact.config.model.source_vocab) for _ in range(n)), 2] for n in lengths]


def assert_equal(found: list[list[Hypothesis]], expected: list[list[Hypothesis]]) -> None:
    """The same tokens, and scores within 1e-4."""
    for some, others in zip(found, expected, strict=True):
        assert [h.tokens for h in some] == [h.tokens for h in others]
        for one, other in zip(some, others, strict=True):
            assert one.score == pytest.approx(other.score, abs=1e-4)
            assert one.token_scores == pytest.approx(other.token_scores, abs=1e-4)
