"""A seed samples the configuration that the published code samples (docs/reference.md, Sampling)."""

import random
from dataclasses import replace

from hat.architecture import Architecture
from hat.interop import architecture_from_reference
from hat.space import DesignSpace
from tests.golden.golden_case import every_tag, read_json


def space(tag: str) -> DesignSpace:
    heads = {"wmt": (8, 4), "iwslt": (4, 2)}[tag]
    return DesignSpace(
        encoder_embed_dim=(40, 32),
        decoder_embed_dim=(40, 32),
        encoder_layers=(3,),
        decoder_layers=(3, 2, 1),
        encoder_ffn_dim=(96, 64, 32),
        encoder_heads=heads,
        decoder_ffn_dim=(96, 64, 32),
        decoder_self_heads=heads,
        decoder_cross_heads=heads,
        encoder_layers_attended=(1, 2, 3),
        qkv_dim=(32,),
    )


@every_tag
def test_first_fifty_seeds(tag: str) -> None:
    recorded = read_json(f"{tag}_sampled_configs_seed0-49.json")
    assert len(recorded) == 50
    expected = [architecture_from_reference(fields, qkv_dim=32) for fields in recorded]
    assert [space(tag).sample(random.Random(seed)) for seed in range(50)] == expected


@every_tag
def test_the_validated_architectures_are_the_largest_and_the_smallest(tag: str) -> None:
    recorded = read_json(f"{tag}_represent_configs.json")
    for choice in ("largest", "smallest"):
        fields = recorded[f"{choice}_arbitrary1"]
        expected = attending_to_two(getattr(space(tag), choice)())
        assert architecture_from_reference(fields, qkv_dim=32) == expected


def attending_to_two(architecture: Architecture) -> Architecture:
    """With the cross-attention that the published validation gives every layer."""
    layers = tuple(replace(layer, encoder_layers_attended=2) for layer in architecture.decoder.layers)
    return replace(architecture, decoder=replace(architecture.decoder, layers=layers))
