"""The design space: membership, counting, genes, and errors that name the key."""

import random
from dataclasses import replace

import pytest

from hat import zoo
from hat.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer
from hat.errors import UserError
from hat.space import DesignSpace

TINY = DesignSpace(
    encoder_embed_dim=(16, 8),
    decoder_embed_dim=(8,),
    encoder_layers=(3, 2, 1),
    decoder_layers=(2, 1),
    encoder_ffn_dim=(32, 16),
    encoder_heads=(2,),
    decoder_ffn_dim=(16,),
    decoder_self_heads=(2, 1),
    decoder_cross_heads=(2,),
    encoder_layers_attended=(1, 3),
    qkv_dim=(8, 16),
)
RANKED = replace(TINY, embedding_rank=(8, 4))
SPACES = [TINY, RANKED, *(zoo.space(name) for name in zoo.space_names())]


@pytest.mark.parametrize("space", [TINY, RANKED], ids=["published", "ranked"])
def test_size_counts_what_enumerate_yields(space: DesignSpace) -> None:
    architectures = list(space.enumerate())
    assert len(architectures) == len(set(architectures)) == space.size()
    assert all(architecture in space for architecture in architectures)


def test_a_rank_is_a_gene_where_the_space_has_ranks() -> None:
    rng = random.Random(4)
    assert RANKED.size() == 2 * TINY.size()
    assert {RANKED.sample(rng).embedding_rank for _ in range(50)} == {8, 4}
    assert {RANKED.mutate(RANKED.largest(), rng, 1.0).embedding_rank for _ in range(50)} == {8, 4}
    assert (RANKED.largest().embedding_rank, RANKED.smallest().embedding_rank) == (8, 4)
    assert RANKED.largest() not in TINY
    assert TINY.largest() not in RANKED
    assert TINY.sample(rng).embedding_rank is None
    assert "embedding_rank" not in TINY.to_dict()
    assert DesignSpace.from_dict(RANKED.to_dict()) == RANKED


def test_sampling_reaches_every_architecture_and_only_those() -> None:
    rng = random.Random(0)
    drawn = {TINY.sample(rng) for _ in range(25_000)}
    assert drawn == set(TINY.enumerate())


@pytest.mark.parametrize("space", SPACES)
def test_operators_stay_inside_and_genes_are_stable(space: DesignSpace) -> None:
    rng = random.Random(1)
    for _ in range(50):
        one, other = space.sample(rng), space.sample(rng)
        children = [space.mutate(one, rng, 0.3), space.crossover(one, other, rng)]
        for architecture in (one, *children, *space.neighbours(one)):
            assert architecture in space
            assert space.decode(space.encode(architecture)) == architecture
        assert space.mutate(one, rng, 0.0) == one
        assert space.crossover(one, one, rng) == one


@pytest.mark.parametrize("space", SPACES)
def test_crossover_takes_every_gene_from_a_parent(space: DesignSpace) -> None:
    rng = random.Random(2)
    for _ in range(100):
        one, other = space.sample(rng), space.sample(rng)
        child = space.crossover(one, other, rng)
        for i, layer in enumerate(child.decoder.layers):
            parents = [p.decoder.layers[i] for p in (one, other) if i < len(p.decoder.layers)]
            assert layer.ffn_dim in {p.ffn_dim for p in parents}
            assert layer.self_heads in {p.self_heads for p in parents}


def test_mutation_redraws_at_the_given_rate() -> None:
    space = zoo.space("wmt-space0")
    one, rng = space.largest(), random.Random(3)
    changed = [
        sum(a.ffn_dim != 3072 for a in space.mutate(one, rng, 0.3).encoder.layers) for _ in range(2000)
    ]
    # A gene is drawn anew with 0.3, and differs in 2 of 3 draws: 0.2 × 6 layers.
    assert sum(changed) / len(changed) == pytest.approx(1.2, abs=0.08)


def test_largest_and_smallest() -> None:
    assert TINY.largest() == Architecture(
        16,
        Encoder(16, (EncoderLayer(32, 2),) * 3),
        Decoder(8, (DecoderLayer(16, 2, 2, 3),) * 2),
    )
    assert TINY.smallest() == Architecture(
        8, Encoder(8, (EncoderLayer(16, 2),)), Decoder(8, (DecoderLayer(16, 1, 2, 1),))
    )
    for space in SPACES:
        assert space.largest() in space
        assert space.smallest() in space


def test_attending_beyond_a_shallow_encoder_means_all_of_it() -> None:
    cut = Architecture(
        16, Encoder(16, (EncoderLayer(32, 2),) * 2), Decoder(8, (DecoderLayer(16, 2, 2, 2),) * 2)
    )
    assert cut in TINY
    assert TINY.encode(cut)[-1] == 3
    deep = replace(TINY.largest(), decoder=cut.decoder)
    assert deep not in TINY, "with 3 encoder layers, attending to 2 of them is not a choice"


def test_outsiders_are_named() -> None:
    space = zoo.space("demo")
    assert TINY.largest() not in space
    with pytest.raises(UserError, match="not in the design space"):
        space.mutate(TINY.largest(), random.Random(0), 0.3)
    assert zoo.space("wmt-latency").smallest() not in zoo.space("wmt-space0")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"qkv_dim": []}, "my.space.qkv_dim: no choices"),
        ({"embedding_rank": [16, 0]}, r"my.space.embedding_rank: 0 in \[16, 0\] is not a positive"),
        ({"decoder_layers": [2, 0]}, r"my.space.decoder_layers: 0 in \[2, 0\] is not a positive"),
        ({"decoder_layers": [2, True]}, "my.space.decoder_layers: True in"),
        ({"encoder_ffn_dim": ["a"]}, "my.space.encoder_ffn_dim: 'a' in"),
        ({"encoder_ffn_dim": 64}, "my.space.encoder_ffn_dim: 64 is not a list"),
        ({"encoder_ffn_dim": [64, 64]}, "my.space.encoder_ffn_dim: .* twice"),
        (
            {"decoder_cross_heads": [2, 3]},
            r"decoder_cross_heads: 3 heads \(of \[2, 3\]\) do not divide qkv_dim 8",
        ),
        ({"encoder_layers_attended": [4]}, r"encoder_layers_attended: \[4\] .*\[3, 2, 1\]"),
        ({"heads": [4]}, "my.space: unknown key heads; the known keys are encoder_embed_dim"),
    ],
)
def test_impossible_spaces_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DesignSpace.from_dict(TINY.to_dict() | change, "my.space")


def test_round_trip() -> None:
    for space in SPACES:
        assert DesignSpace.from_dict(space.to_dict()) == space
