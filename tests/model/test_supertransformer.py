"""Law 1: the SubTransformer on lent weights and the extracted one are the same network."""

import random

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hat import zoo
from hat.architecture import Architecture, ModelConfig, cost, weight_shapes
from hat.architecture.weights import EMBEDDING_NAMES, FACTOR_NAMES
from hat.errors import UserError
from hat.model import Dropout, Transformer
from hat.model.layers import Attention, BranchNorm
from hat.model.supertransformer import build_empty
from hat.space import DesignSpace
from tests.model.networks import FACTORED, SPACE, VOCAB, WIDE_SPACE, batch, perturbed

UNCOUNTED = (*EMBEDDING_NAMES, *FACTOR_NAMES)


@pytest.mark.parametrize("space", [SPACE, WIDE_SPACE, FACTORED])
@pytest.mark.parametrize("embeddings", ["shared", "separate"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 0.0), (torch.float32, 1e-6)])
@torch.no_grad()
def test_lent_and_extracted_give_the_same_outputs(
    space: DesignSpace, embeddings: str, dtype: torch.dtype, tolerance: float
) -> None:
    network = perturbed(embeddings, dtype, space)
    rng = random.Random(3)
    for seed in range(200 if space is SPACE else 80):
        architecture = space.sample(rng)
        lent = network(architecture, *batch(seed))
        extracted = network.extract(architecture)(*batch(seed))
        assert (lent - extracted).abs().max() <= tolerance, architecture


def test_built_modules_have_the_closed_forms_shapes_and_parameters() -> None:
    rng = random.Random(5)
    spaces = [SPACE, WIDE_SPACE, FACTORED, *map(zoo.space, zoo.space_names())]
    for trial in range(300):
        architecture = (WIDE_SPACE if trial >= 100 else spaces[trial % len(spaces)]).sample(rng)
        config = ModelConfig(architecture, 50, 50)
        if trial % 2:
            config = ModelConfig(architecture, 50, 60, embeddings="separate", norm="pre")
        parameters = dict(build_empty(config, Dropout()).named_parameters())
        assert {name: tuple(value.shape) for name, value in parameters.items()} == weight_shapes(config)
        counted = sum(value.numel() for name, value in parameters.items() if name not in UNCOUNTED)
        final_norms = trial % 2 * 2 * (architecture.encoder_dim + architecture.decoder_dim)
        assert counted == cost(architecture).parameters + final_norms


def test_the_closed_forms_work_is_what_the_module_multiplies() -> None:
    """Counted in 200 networks: the products of matrices, elements of norms and of queries, and what `cost`
    says of the rest."""
    rng, length = random.Random(6), 7
    tokens = torch.full((1, length), 5)
    for _ in range(200):
        architecture = WIDE_SPACE.sample(rng)
        network = Transformer(ModelConfig(architecture, VOCAB, VOCAB)).train()
        with FlopCounterMode(display=False) as counter:
            network(tokens, tokens)
        counted = counter.get_total_flops() // 2 - length * architecture.decoder_dim * VOCAB
        counted += length * (architecture.encoder_dim + architecture.decoder_dim + 2)
        for block in [*network.encoder, *network.decoder]:
            for module in block.modules():
                if isinstance(module, BranchNorm):
                    counted += block.passes * length * module.normalized_shape[0]
                elif isinstance(module, Attention):
                    counted += block.passes * (length * module.out.in_features + 3)
        assert cost(architecture, length).flops == 2 * counted, architecture


def test_gradients_reach_the_lent_corner_only() -> None:
    network = perturbed("separate", torch.float64).train()
    smallest = SPACE.smallest()
    network(smallest, *batch(0)).sum().backward()
    for name, parameter in network.largest.named_parameters():
        shape = weight_shapes(network.sub_config(smallest)).get(name)
        if shape is None:
            assert parameter.grad is None, f"{name} belongs to a layer that was not run"
            continue
        assert parameter.grad is not None
        outside = parameter.grad.clone()
        outside[tuple(slice(size) for size in shape)] = 0
        assert outside.abs().sum() == 0
        assert parameter.grad.abs().sum() > 0 or name == "decoder.0.cross_attention.kv.bias"


def test_gradients_of_lent_weights_are_those_of_slices() -> None:
    network = perturbed("shared", torch.float64).train()
    architecture = SPACE.sample(random.Random(1))
    lent, shared = network.lend(architecture), dict(network.largest.named_parameters())
    for name, weight in lent.items():
        factor = torch.randn_like(weight)
        slices = tuple(map(slice, weight.shape))
        (gradient,) = torch.autograd.grad((factor * weight).sum(), shared[name])
        (expected,) = torch.autograd.grad((factor * shared[name][slices]).sum(), shared[name])
        assert torch.equal(gradient, expected), name
        assert weight.is_contiguous()


def test_architecture_outside_is_refused_by_name() -> None:
    network = perturbed("shared", torch.float32)
    wider = SPACE.largest().to_dict()
    wider["encoder"]["layers"][1]["ffn_dim"] = 64
    with pytest.raises(
        UserError, match=r"outside the SuperTransformer: encoder\.1\.fc1\.weight needs \(64, 24\)"
    ):
        network.lend(Architecture.from_dict(wider))


def test_dropout_is_scaled_by_width_but_for_the_encoders_attention() -> None:
    config = ModelConfig(
        SPACE.smallest(), 40, 40, embeddings="shared", encoder_super_dim=24, decoder_super_dim=32
    )
    network = Transformer(config, Dropout(0.3, 0.1))
    assert network.drop_source.rate == pytest.approx(0.3 * 16 / 24)
    assert network.drop_target.rate == pytest.approx(0.3 * 16 / 32)
    block = network.encoder[0]
    assert block.drop_attention.rate == 0.3
    assert block.drop.rate == pytest.approx(0.2)
    assert block.self_attention.drop_weights.rate == 0.1
    assert network.decoder[0].drop.rate == pytest.approx(0.15)
