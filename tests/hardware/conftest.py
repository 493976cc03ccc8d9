"""Architectures to measure without measuring anything."""

import random

import pytest

from hat.architecture import Architecture, ModelConfig
from hat.space import DesignSpace

Models = list[ModelConfig]


@pytest.fixture(scope="session")
def design_space() -> DesignSpace:
    return DesignSpace(
        encoder_embed_dim=(640, 512),
        decoder_embed_dim=(640, 512),
        encoder_layers=(6, 3),
        decoder_layers=(6, 5, 4, 3, 2, 1),
        encoder_ffn_dim=(3072, 2048, 1024),
        encoder_heads=(8, 4),
        decoder_ffn_dim=(3072, 2048, 1024),
        decoder_self_heads=(8, 4),
        decoder_cross_heads=(8, 4),
        encoder_layers_attended=(1, 2, 3),
        qkv_dim=(512,),
    )


@pytest.fixture
def architectures(design_space: DesignSpace) -> list[Architecture]:
    rng = random.Random(5)
    return [design_space.sample(rng) for _ in range(60)]


@pytest.fixture
def models(architectures: list[Architecture]) -> Models:
    return [ModelConfig(architecture, 100, 100) for architecture in architectures[:20]]
