"""The Evolved Transformer's cells: their convolutions, the positions they see, their initial weights."""

import pytest
import torch
from torch import Tensor, nn

from hat.architecture import Architecture, EvolvedArchitecture, ModelConfig
from hat.errors import UserError
from hat.model import Dropout, Transformer, build
from hat.model.evolved import CellCache, DecoderCell, EncoderCell, EvolvedTransformer, Separable
from tests.model.networks import SPACE


@torch.no_grad()
def test_a_separable_convolution_is_the_librarys() -> None:
    torch.manual_seed(0)
    layer, x = Separable(7, 6, 4).double(), torch.randn(2, 11, 6, dtype=torch.float64)
    nn.init.normal_(layer.depthwise.weight)
    taps, mix = layer.depthwise.weight[:, None], layer.pointwise.weight[..., None]
    y = nn.functional.conv1d(x.transpose(1, 2), taps, groups=6)
    expected = nn.functional.conv1d(y, mix, layer.pointwise.bias).transpose(1, 2)
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-12)


@torch.no_grad()
def test_the_branch_beside_the_wide_layer_is_a_convolution() -> None:
    """The near branch, with padding of zeros, as the library computes it."""
    torch.manual_seed(0)
    cell, x = EncoderCell(4, heads=2, rates=Dropout()).double(), torch.randn(2, 5, 4, dtype=torch.float64)
    seen: list[Tensor] = []
    cell.near.register_forward_hook(lambda module, inputs, output: seen.append(output))
    cell.branches(x, None)
    kernel = cell.near.weight.view(2, 3, 4).transpose(1, 2)  # (O, I, positions)
    normed = cell.branch_norm(x).transpose(1, 2)
    expected = nn.functional.conv1d(normed, kernel, cell.near.bias, padding=1).transpose(1, 2)
    torch.testing.assert_close(seen[0], expected, rtol=0, atol=1e-12)


@torch.no_grad()
def test_a_decoder_cell_sees_ten_and_six_positions_back() -> None:
    """Of its convolutions alone: sixteen positions in all."""
    torch.manual_seed(0)
    cell = DecoderCell(8, heads=2, many_heads=4, rates=Dropout()).double()
    for layer in (cell.long, cell.short, cell.merge):
        nn.init.normal_(layer.depthwise.weight)
    x = torch.randn(1, 20, 8, dtype=torch.float64)
    changed = x.clone()
    changed[:, 0] += torch.arange(8)

    def moved(one: Tensor) -> Tensor:
        return cell.branches(one, CellCache(), None)

    different = (moved(x) != moved(changed)).any(dim=-1)[0]
    assert different[:17].all()
    assert not different[17:].any()


def test_activations_keep_their_size_at_the_start() -> None:
    """Initial weights let every part of a cell have its say: no branch starts a hundred times smaller."""
    torch.manual_seed(0)
    x = torch.randn(2, 20, 64)
    network = EvolvedTransformer(ModelConfig(EvolvedArchitecture(64, 4, 1, 1), 40, 40))
    cell = network.encoder[0]
    assert isinstance(cell, EncoderCell)
    half = cell.branches(x, None)[..., :32]
    assert 0.3 < half.std() < 3


def test_a_family_builds_its_own_network() -> None:
    config = ModelConfig(EvolvedArchitecture(16, 4, 2, 2), 40, 40)
    assert isinstance(build(config), EvolvedTransformer)
    other = ModelConfig(SPACE.smallest(), 40, 40)
    assert isinstance(other.architecture, Architecture)
    assert isinstance(build(other), Transformer)
    with pytest.raises(UserError, match="for Transformers only; this model is an Evolved Transformer"):
        Transformer(config)
    with pytest.raises(UserError, match="for Evolved Transformers only"):
        EvolvedTransformer(other)
