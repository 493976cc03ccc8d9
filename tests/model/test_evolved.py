"""The Evolved Transformer: padding, causality, incremental decoding, gradients, learning."""

import pytest
import torch
from torch import Tensor, nn

from hat.architecture import Architecture, EvolvedArchitecture, ModelConfig, weight_shapes
from hat.errors import UserError
from hat.model import Dropout, Transformer, beam_search, build
from hat.model.evolved import CellCache, DecoderCell, EncoderCell, EvolvedTransformer, Separable
from hat.runtime import DecodeOptions
from tests.model.evolved_models import evolved_network
from tests.model.test_supertransformer import SPACE, batch


@pytest.mark.parametrize("embeddings", ["shared", "separate"])
def test_weights_have_the_names_and_shapes_of_the_architecture(embeddings: str) -> None:
    network = evolved_network(embeddings)
    shapes = {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}
    assert shapes == weight_shapes(network.config)
    source, target = batch(0)
    assert network(source, target).shape == (3, 6, 40)


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


@pytest.mark.parametrize("side", ["left", "right"])
@torch.no_grad()
def test_padding_changes_nothing(side: str) -> None:
    """Convolutions would see it, were it not hidden from them."""
    network = evolved_network()
    source, target = batch(1)
    expected = network(source[1:2], target[1:2])

    def pad(tokens: Tensor, width: int) -> Tensor:
        filling = torch.ones(1, width, dtype=torch.long)
        return torch.cat((filling, tokens) if side == "left" else (tokens, filling), dim=1)

    padded = network(pad(source[1:2], 4), pad(target[1:2], 3))
    real = padded[:, 3:] if side == "left" else padded[:, :-3]
    torch.testing.assert_close(real, expected, rtol=0, atol=1e-12)


@torch.no_grad()
def test_the_future_is_hidden() -> None:
    network = evolved_network()
    source, target = batch(3)
    expected = network(source, target)
    for position in range(1, target.shape[1]):
        changed = target.clone()
        changed[:, position:] = 5
        found = network(source, changed)
        assert torch.equal(found[:, :position], expected[:, :position])
        assert not torch.equal(found[:, position:], expected[:, position:])


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


@torch.no_grad()
def test_steps_give_the_teacher_forced_logits() -> None:
    """Beyond the widest convolution, whose window then moves on."""
    network = evolved_network()
    source, _ = batch(5)
    target = torch.randint(3, 40, (3, 25), generator=torch.Generator().manual_seed(0))
    expected = network(source, target)
    state = network.start(source)
    steps = [network.step(target[:, position], state) for position in range(target.shape[1])]
    torch.testing.assert_close(torch.stack(steps, dim=1), expected, rtol=0, atol=1e-12)


@torch.no_grad()
def test_beam_search_over_a_batch_is_that_of_each_sentence() -> None:
    """Windows, caches and memories follow hypotheses and the sentences that are left, padded or not."""
    network = evolved_network()
    source, _ = batch(6)  # its first sentence is padded
    options = DecodeOptions(beam=4, nbest=4, max_length_factor=1.5, max_length_offset=14)
    together = beam_search(network, source, options)
    alone = [beam_search(network, row[row.ne(1)][None], options)[0] for row in source]
    assert [[h.tokens for h in found] for found in together] == [[h.tokens for h in one] for one in alone]
    assert max(len(h.tokens) for h in together[1]) > 12  # longer than the windows
    for hypotheses, row in zip(together, source, strict=True):
        for found in hypotheses:
            target_in = torch.tensor([[2, *found.tokens[:-1]]])
            log_probs = network(row[None], target_in).log_softmax(-1)[0]
            scores = log_probs.gather(1, torch.tensor(found.tokens)[:, None])[:, 0]
            assert found.token_scores == pytest.approx(scores.tolist(), abs=1e-5)


def test_every_weight_has_a_gradient() -> None:
    network = evolved_network()
    source, target = batch(7)
    network.train()(source, target).log_softmax(-1)[..., 5].sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_dropout_is_for_training_only() -> None:
    config = evolved_network().config
    network = EvolvedTransformer(config, Dropout(0.3, 0.1))
    source, target = batch(8)
    assert not torch.equal(network(source, target), network(source, target))
    network.eval()
    assert torch.equal(network(source, target), network(source, target))


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
    config = evolved_network().config
    assert isinstance(build(config), EvolvedTransformer)
    other = ModelConfig(SPACE.smallest(), 40, 40)
    assert isinstance(other.architecture, Architecture)
    assert isinstance(build(other), Transformer)
    with pytest.raises(UserError, match="for Transformers only; this model is an Evolved Transformer"):
        Transformer(config)
    with pytest.raises(UserError, match="for Evolved Transformers only"):
        EvolvedTransformer(other)


def test_it_learns_to_copy() -> None:
    """Sequence copy, end to end: from random pairs to exact translations by beam search."""
    torch.manual_seed(0)
    network = EvolvedTransformer(ModelConfig(EvolvedArchitecture(16, 2, 1, 1), 12, 12))
    optimizer = torch.optim.Adam(network.parameters(), 1e-2, betas=(0.9, 0.98))
    for _ in range(100):
        words = torch.randint(4, 12, (32, 5))
        ends = torch.full((32, 1), 2)
        logits = network(torch.cat((words, ends), 1), torch.cat((ends, words), 1))
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), torch.cat((words, ends), 1).flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    source = torch.cat((torch.randint(4, 12, (20, 5)), torch.full((20, 1), 2)), 1)
    found = beam_search(network.eval(), source, DecodeOptions(beam=3, max_length_offset=10))
    exact = [list(best.tokens) == row.tolist() for [best], row in zip(found, source, strict=True)]
    assert sum(exact) >= 19
