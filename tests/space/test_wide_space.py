"""Design spaces beyond the published ones: attentions with widths of their own, layers without a part."""

import random
from dataclasses import replace

import pytest

from hat import zoo
from hat.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer
from hat.errors import UserError
from hat.space import DesignSpace
from hat.space.design_space import OPTIONAL

WIDE = DesignSpace(
    encoder_embed_dim=(8,),
    decoder_embed_dim=(8,),
    encoder_layers=(2, 1),
    decoder_layers=(1,),
    encoder_ffn_dim=(16,),
    encoder_heads=(2, 0),
    decoder_ffn_dim=(0, 16),
    decoder_self_heads=(2, 0),
    decoder_cross_heads=(0, 2),
    encoder_layers_attended=(1, 2),
    qkv_dim=(8,),
    encoder_qkv_dim=(8, 4),
    decoder_self_qkv_dim=(4, 6),
    decoder_cross_qkv_dim=(12, 8),
    encoder_passes=(2, 1),
)


def test_size_counts_what_enumerate_yields_and_sampling_reaches() -> None:
    architectures = list(WIDE.enumerate())
    assert len(architectures) == len(set(architectures)) == WIDE.size()
    assert all(architecture in WIDE for architecture in architectures)
    rng = random.Random(0)
    assert {WIDE.sample(rng) for _ in range(60_000)} == set(architectures)


def test_operators_stay_inside_and_genes_are_stable() -> None:
    rng = random.Random(1)
    for _ in range(300):
        one, other = WIDE.sample(rng), WIDE.sample(rng)
        children = (WIDE.mutate(one, rng, 0.3), WIDE.crossover(one, other, rng))
        for architecture in (*children, *WIDE.neighbours(one)):
            assert architecture in WIDE
            assert WIDE.decode(WIDE.encode(architecture)) == architecture
        assert WIDE.mutate(one, rng, 0.0) == one
        assert WIDE.crossover(one, one, rng) == one


def test_neighbours_connect_the_whole_space() -> None:
    """Parts appear and disappear one at a time."""
    reached, edge = {WIDE.smallest()}, [WIDE.smallest()]
    while edge:
        edge = [one for known in edge for one in WIDE.neighbours(known)]
        edge = list(set(edge) - reached)
        reached |= set(edge)
    assert reached == set(WIDE.enumerate())


def test_largest_and_smallest() -> None:
    assert WIDE.largest() == Architecture(
        8,
        Encoder(8, (EncoderLayer(16, 2, passes=2),) * 2),
        Decoder(8, (DecoderLayer(16, 2, 2, 2, self_qkv_dim=6, cross_qkv_dim=12),)),
    )
    assert WIDE.smallest() == Architecture(
        8, Encoder(8, (EncoderLayer(16, 0),)), Decoder(8, (DecoderLayer(0, 0, 0),))
    )


def test_round_trip_and_published_spaces_say_nothing_of_it() -> None:
    assert DesignSpace.from_dict(WIDE.to_dict()) == WIDE
    assert zoo.space("demo").to_dict().keys() == WIDE.to_dict().keys() - set(OPTIONAL)


def test_a_width_of_its_own_that_is_the_architectures_is_none() -> None:
    same = Architecture(8, Encoder(8, (EncoderLayer(4, 2, qkv_dim=8),)), Decoder(8, (DecoderLayer(4, 2, 2),)))
    assert same.encoder.layers == (EncoderLayer(4, 2),)
    assert "qkv_dim" not in same.to_dict()["encoder"]["layers"][0]
    assert replace(same, qkv_dim=16).encoder.layers[0].self_attention(16) == same.encoder.layers[0].attention(
        "", 16
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder_qkv_dim": []}, "my.space.encoder_qkv_dim: no choices"),
        ({"encoder_qkv_dim": [8, 0]}, r"my.space.encoder_qkv_dim: 0 in \[8, 0\] is not a positive"),
        (
            {"encoder_qkv_dim": [8, 5]},
            r"encoder_heads: 2 heads \(of \[2, 0\]\) do not divide encoder_qkv_dim 5",
        ),
        (
            {"encoder_ffn_dim": [16, -1]},
            r"encoder_ffn_dim: -1 in \[16, -1\] is not a whole number of at least 0",
        ),
        ({"encoder_heads": [2, True]}, "my.space.encoder_heads: True in"),
        ({"decoder_cross_heads": [0]}, "decoder_cross_heads: .* no decoder layer would see the source"),
        ({"qkv_dim": [8, 16]}, r"qkv_dim: \[8, 16\]: every attention has choices of its own"),
        ({"encoder_passes": [1, 0]}, r"my.space.encoder_passes: 0 in \[1, 0\] is not a positive"),
        ({"encoder_layers": [2, 0]}, r"my.space.encoder_layers: 0 in \[2, 0\] is not a positive"),
    ],
)
def test_impossible_spaces_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DesignSpace.from_dict(WIDE.to_dict() | change, "my.space")
