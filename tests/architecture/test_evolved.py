"""The Evolved Transformer as plain data: what is accepted, what it costs."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from hat.architecture import (
    Architecture,
    Decoder,
    DecoderLayer,
    Encoder,
    EncoderLayer,
    EvolvedArchitecture,
    ModelConfig,
    architecture_from_dict,
    cost,
    load_architecture,
    weight_shapes,
)
from hat.errors import UserError

BASE, BIG = EvolvedArchitecture(512, 8), EvolvedArchitecture(1024, 16)


def transformer(dim: int, heads: int) -> Architecture:
    encoder, decoder = EncoderLayer(4 * dim, heads), DecoderLayer(4 * dim, heads, heads)
    return Architecture(dim, Encoder(dim, (encoder,) * 6), Decoder(dim, (decoder,) * 6))


def test_the_published_figures() -> None:
    """HAT's tables, 30 tokens: Transformer-Big 176M and 10.6 G, Evolved Transformer (En-De) 47M and 2.9 G."""
    big = cost(transformer(1024, 16))
    assert (big.parameters / 1e6, big.flops / 1e9) == pytest.approx((176, 10.6), rel=0.005)
    evolved = cost(BASE)
    assert (evolved.parameters / 1e6, evolved.flops / 1e9) == pytest.approx((47, 2.9), rel=0.02)


def test_the_en_fr_row_is_not_one_model() -> None:
    """Published 175M and 10.8 G. By these rules a parameter costs just over 60 FLOPs in every model of the
    tables, so 175M parameters are 10.6 G; and 1024 wide, as that row must be, they are 188M."""
    counted = cost(BIG)
    for one in (counted, cost(BASE), cost(transformer(1024, 16))):
        assert 60.3 <= one.flops / one.parameters <= 60.7
    assert (counted.parameters / 1e6, counted.flops / 1e9) == pytest.approx((187.7, 11.32), abs=0.05)


def test_parameters_by_hand() -> None:
    d = 6
    attention = 4 * (d * d + d)
    feed_forward = d * 24 + 24 + 24 * d + d
    encoder = (
        2 * (d * d + d)  # gated
        + (d * 24 + 24)  # wide
        + (3 * d * 3 + 3)  # near
        + (9 * 24 + 24 * 3 + 3)  # merge
        + attention
        + feed_forward
        + 2 * (4 * d + 24)  # norms
    )
    decoder = (
        4 * attention
        + (11 * d + d * 12 + 12)  # long
        + (7 * d + d * 3 + 3)  # short
        + (7 * 12 + 12 * d + d)  # merge
        + feed_forward
        + 2 * (5 * d + 12 + 24)  # norms
    )
    found = cost(EvolvedArchitecture(d, 1, 2, 1))
    assert found.parameters == 2 * encoder + decoder + 2 * 2 * d


def test_flops_by_hand() -> None:
    d, length = 4, 5
    attention = length * 4 * d * d + 2 * length * length * d + length * d + 3
    feed_forward = 2 * d * 16
    encoder = 2 * d * d + d + d * 16 + 3 * d * 2 + (9 * 16 + 16 * 2) + feed_forward + 4 * d + 16
    decoder = (11 * d + d * 8) + (7 * d + d * 2) + (7 * 8 + 8 * d) + feed_forward + 16 + 5 * d + 8 + 16
    ends = 2 * (d + 1) + 2 * d  # scaled embeddings and the norm after each side
    macs = length * (encoder + decoder + ends) + 5 * attention
    assert cost(EvolvedArchitecture(d, 1, 1, 1), length).flops == 2 * macs


@pytest.mark.parametrize(("heads", "many"), [(1, 2), (4, 8), (8, 16), (16, 16), (32, 32)])
def test_heads_are_doubled_up_to_sixteen(heads: int, many: int) -> None:
    assert EvolvedArchitecture(64, heads).many_heads == many


def test_written_and_read_again(tmp_path: Path) -> None:
    one = EvolvedArchitecture(32, 4, 2, 3)
    assert architecture_from_dict(one.to_dict()) == one
    path = tmp_path / "evolved.yaml"
    path.write_text(yaml.safe_dump({"architecture": one.to_dict()}))
    assert load_architecture(path) == one
    assert load_architecture(path).short_hash() == one.short_hash() != BASE.short_hash()


def test_another_family_does_not_change_what_transformers_are_called() -> None:
    assert "family" not in transformer(32, 4).to_dict()
    assert architecture_from_dict(transformer(32, 4).to_dict()) == transformer(32, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "reformer"}, "family: 'reformer'; the one choice is evolved"),
        ({"embed_dim": 33}, "embed_dim: 33 is odd"),
        ({"heads": 5}, "heads: 5 heads do not divide embed_dim 32"),
        ({"embed_dim": 36, "heads": 4}, "heads: 8 heads of the first self-attention do not divide"),
        ({"heads": True}, "heads: True is not a positive whole number"),
        ({"encoder_cells": 0}, "encoder_cells: 0 is not a positive whole number"),
        ({"decoder_cells": 10**9}, "decoder_cells: 1000000000 is more than 1024"),
        ({"ffn_dim": 128}, "unknown key ffn_dim"),
    ],
)
def test_what_cannot_be_built_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        architecture_from_dict(EvolvedArchitecture(32, 4).to_dict() | change, "arch.yaml: architecture")
    assert str(error.value).startswith("arch.yaml: architecture")
    assert message in str(error.value)


def test_every_layer_of_the_network_is_named_once() -> None:
    shapes = weight_shapes(ModelConfig(EvolvedArchitecture(8, 2), 40, 50, embeddings="separate"))
    assert shapes["encoder.2.merge.depthwise.weight"] == (32, 9)
    assert shapes["decoder.3.long.pointwise.weight"] == (16, 8)
    assert shapes["output_embedding"] == (50, 8)
