"""Parameters and FLOPs in closed form against the published figures, and counted by hand."""

from math import prod
from typing import Any

import pytest

from hat import zoo
from hat.architecture import (
    EMBEDDING_NAMES,
    Architecture,
    Decoder,
    DecoderLayer,
    Encoder,
    EncoderLayer,
    ModelConfig,
    Norm,
    artefact_bytes,
    cost,
    weight_shapes,
)

MODELS = zoo.published_models()
SMALL = Architecture(8, Encoder(6, (EncoderLayer(10, 2),) * 2), Decoder(4, (DecoderLayer(12, 4, 2, 2),)))


def test_all_44_published_models_are_here() -> None:
    assert len(MODELS) == len({model["name"] for model in MODELS}) == 44


@pytest.mark.parametrize("model", MODELS, ids=[model["name"] for model in MODELS])
def test_published_parameters_and_flops(model: dict[str, Any]) -> None:
    found = cost(Architecture.from_dict(model["architecture"]), model["sentence_length"])
    assert (found.parameters, found.flops) == (model["params"], model["flops"])


def test_parameters_by_hand() -> None:
    encoder_layer = (3 * 8 * 6 + 3 * 8) + (6 * 8 + 6) + (10 * 6 + 10) + (6 * 10 + 6) + 2 * 2 * 6
    self_attention = (3 * 8 * 4 + 3 * 8) + (4 * 8 + 4)
    cross_attention = (8 * 4 + 8) + (2 * 8 * 6 + 2 * 8) + (4 * 8 + 4)
    feed_forward = (12 * 4 + 12) + (4 * 12 + 4)
    decoder_layer = self_attention + cross_attention + feed_forward + 3 * 2 * 4
    assert cost(SMALL).parameters == 2 * encoder_layer + decoder_layer


def test_heads_cost_nothing_and_attended_layers_cost_flops_only() -> None:
    row = DecoderLayer(12, 1, 1, 1)
    other = Architecture(8, Encoder(6, (EncoderLayer(10, 8),) * 2), Decoder(4, (row,)))
    length = 7
    assert cost(other, length).parameters == cost(SMALL, length).parameters
    # One more span of keys: two projections to 8 and two products of 8, at every position.
    difference = 2 * (2 * length * 6 * 8 + 2 * length * length * 8)
    assert cost(SMALL, length).flops - cost(other, length).flops == difference


@pytest.mark.parametrize(("embeddings", "numbers"), [("shared", 6 * 100), ("separate", 100 * (6 + 4 + 4))])
def test_bytes_with_and_without_embeddings(embeddings: str, numbers: int) -> None:
    config = ModelConfig(SMALL, 100, 100, embeddings=embeddings)  # type: ignore[arg-type]
    parameters = cost(SMALL).parameters
    assert artefact_bytes(config) == (4 * parameters, 4 * (parameters + numbers))
    assert artefact_bytes(config, "bfloat16") == (2 * parameters, 2 * (parameters + numbers))


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_a_sub_transformer_is_a_corner_of_the_largest(norm: Norm) -> None:
    space = zoo.space("demo")
    whole = weight_shapes(ModelConfig(space.largest(), 50, 50, norm=norm))
    part = weight_shapes(ModelConfig(space.smallest(), 50, 50, norm=norm))
    assert set(EMBEDDING_NAMES) & set(part) == {"embedding"}
    for name, shape in part.items():
        assert all(a <= b for a, b in zip(shape, whole[name], strict=True)), name
    assert sum(map(prod, part.values())) < sum(map(prod, whole.values()))
