"""Small networks of every family with random weights, sentences for them, and comparisons of translations."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from hat.architecture import (
    AnyArchitecture,
    Architecture,
    Decoder,
    DecoderLayer,
    Encoder,
    EncoderLayer,
    EvolvedArchitecture,
    ModelConfig,
    family_of,
)
from hat.model import SuperTransformer, TranslationModel, build
from hat.runtime import Artefact, ArtefactConfig, Hypothesis
from hat.space import DesignSpace

VOCAB = 40
# Unequal widths, elastic qkv_dim and depths on both sides: everything a slice can get wrong.
SPACE = DesignSpace.from_dict(
    {
        "encoder_embed_dim": [24, 16],
        "decoder_embed_dim": [32, 24, 16],
        "encoder_layers": [3, 2, 1],
        "decoder_layers": [3, 2, 1],
        "encoder_ffn_dim": [48, 32],
        "encoder_heads": [4, 2],
        "decoder_ffn_dim": [48, 32],
        "decoder_self_heads": [4, 2],
        "decoder_cross_heads": [4, 2],
        "encoder_layers_attended": [1, 2, 3],
        "qkv_dim": [32, 16],
    },
    "test space",
)
# With everything beyond the published choices: attentions with widths of their own, layers without a part.
WIDE_SPACE = DesignSpace.from_dict(
    SPACE.to_dict()
    | {
        "encoder_ffn_dim": [48, 32, 0],
        "encoder_heads": [4, 2, 0],
        "decoder_ffn_dim": [48, 0, 32],
        "decoder_self_heads": [0, 4, 2],
        "decoder_cross_heads": [4, 2, 0],
        "encoder_qkv_dim": [32, 16, 8],
        "decoder_self_qkv_dim": [16, 48, 8],
        "decoder_cross_qkv_dim": [8, 24],
        "encoder_passes": [1, 2],
        "decoder_passes": [2, 1],
        "qkv_dim": [32],
    },
    "wide test space",
)
# A decoder without self-attention, below and above a layer that has only that, and layers without any part.
SPARSE = Architecture(
    16,
    Encoder(16, (EncoderLayer(0, 2, passes=2), EncoderLayer(0, 0), EncoderLayer(24, 0))),
    Decoder(
        24,
        (DecoderLayer(0, 0, 2, 3, cross_qkv_dim=8), DecoderLayer(0, 0, 0), DecoderLayer(16, 0, 4, passes=2)),
    ),
)
SPARSE_SELF = replace(
    SPARSE,
    decoder=Decoder(
        24, (DecoderLayer(16, 0, 0), DecoderLayer(0, 2, 0, self_qkv_dim=24, passes=2), DecoderLayer(0, 0, 1))
    ),
)
FACTORED = replace(SPACE, embedding_rank=(20, 12))
# Family → architectures that the tests of all families build.
EXAMPLES: dict[str, list[AnyArchitecture]] = {
    "transformer": [
        *(SPACE.largest(), *(SPACE.sample(random.Random(seed)) for seed in range(5))),
        *(WIDE_SPACE.largest(), SPARSE, SPARSE_SELF, FACTORED.smallest()),
    ],
    "evolved": [EvolvedArchitecture(16, 4, 2, 2)],
}
_RNG = random.Random(5)
SOURCES = [[*(_RNG.randrange(3, VOCAB) for _ in range(length)), 2] for length in (6, 1, 39, 12, 3)]


def batch(seed: int) -> tuple[Tensor, Tensor]:
    """Three sources, the first padded, and three targets."""
    generator = torch.Generator().manual_seed(seed)
    source = torch.randint(3, VOCAB, (3, 7), generator=generator)
    source[0, :3] = 1
    return source, torch.randint(3, VOCAB, (3, 6), generator=generator)


def padded(sources: list[list[int]]) -> Tensor:
    longest = max(map(len, sources))
    return torch.tensor([[1] * (longest - len(source)) + source for source in sources])


def perturbed(embeddings: str, dtype: torch.dtype, space: DesignSpace = SPACE) -> SuperTransformer:
    """The largest of a space. Norms come after with shared embeddings, before with separate ones."""
    torch.manual_seed(7)
    norm = "post" if embeddings == "shared" else "pre"
    config = ModelConfig(space.largest(), VOCAB, VOCAB, embeddings=embeddings, norm=norm)  # type: ignore[arg-type]
    network = SuperTransformer(config).to(dtype).eval()
    _perturb(network)
    return network


def example_network(
    architecture: AnyArchitecture, embeddings: str = "shared", dtype: torch.dtype = torch.float64
) -> TranslationModel:
    """A network in which norms and biases too are away from where they start; with separate embeddings its
    layers normalise first, where the family's can."""
    norm = family_of(architecture).norms[-1] if embeddings == "separate" else "post"
    torch.manual_seed(3)
    network = build(ModelConfig(architecture, VOCAB, VOCAB, embeddings=embeddings, norm=norm))  # type: ignore[arg-type]
    _perturb(network)
    return network.to(dtype).eval()


def example_artefact(
    architecture: AnyArchitecture, embeddings: str = "shared", precision: str = "float32"
) -> Artefact:
    """The same network as an artefact without a tokenizer."""
    network = example_network(architecture, embeddings, torch.float32)
    weights = {name: weight.detach().numpy().copy() for name, weight in network.named_parameters()}
    assert all(weight.dtype == np.float32 for weight in weights.values())
    return Artefact(ArtefactConfig(network.config), weights).at_precision(precision)


def assert_same(found: list[list[Hypothesis]], expected: list[list[Hypothesis]]) -> None:
    for mine, theirs in zip(found, expected, strict=True):
        assert [h.tokens for h in mine] == [h.tokens for h in theirs]
        assert [h.score for h in mine] == pytest.approx([h.score for h in theirs], abs=1e-4)


@torch.no_grad()
def _perturb(network: torch.nn.Module) -> None:
    for parameter in network.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
