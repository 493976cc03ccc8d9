"""Networks of every family: weights, padding, causality, incremental decoding, gradients, learning."""

from collections.abc import Iterator
from math import prod

import pytest
import torch
from torch import Tensor, nn

from hat.architecture import (
    EMBEDDING_NAMES,
    FACTOR_NAMES,
    FAMILIES,
    AnyArchitecture,
    ModelConfig,
    architecture_from_dict,
    cost,
    decoder_states,
    family_of,
    weight_shapes,
)
from hat.model import Dropout, beam_search, build
from hat.runtime import DecodeOptions
from tests.model.networks import EXAMPLES, VOCAB, batch, example_network

each = pytest.mark.parametrize("architecture", [one for name in FAMILIES for one in EXAMPLES[name]])
each_family = pytest.mark.parametrize("architecture", [EXAMPLES[name][0] for name in FAMILIES])


@each
def test_an_architecture_is_read_as_it_was_written(architecture: AnyArchitecture) -> None:
    found = architecture_from_dict(architecture.to_dict())
    assert found == architecture
    assert hash(found) == hash(architecture)
    assert found.short_hash() == architecture.short_hash()


@each
@pytest.mark.parametrize("embeddings", ["shared", "separate"])
def test_weights_have_the_names_and_shapes_of_the_architecture(
    architecture: AnyArchitecture, embeddings: str
) -> None:
    network = example_network(architecture, embeddings)
    shapes = {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}
    assert shapes == weight_shapes(network.config)
    source, target = batch(0)
    assert network(source, target).shape == (3, 6, VOCAB)


@each
def test_the_work_of_a_pass_uses_every_weight_at_least_once(architecture: AnyArchitecture) -> None:
    shapes = weight_shapes(ModelConfig(architecture, VOCAB, VOCAB))
    uncounted = (*EMBEDDING_NAMES, *FACTOR_NAMES)
    weights = sum(prod(shape) for name, shape in shapes.items() if name not in uncounted)
    assert cost(architecture).parameters == weights
    assert cost(architecture, 40).flops > cost(architecture, 30).flops > 2 * 30 * 0.9 * weights


@each
@pytest.mark.parametrize("embeddings", ["shared", "separate"])
@pytest.mark.parametrize("side", ["left", "right"])
@torch.no_grad()
def test_padding_changes_nothing(architecture: AnyArchitecture, embeddings: str, side: str) -> None:
    network = example_network(architecture, embeddings)
    source, target = batch(1)
    expected = network(source[1:2], target[1:2])

    def pad(tokens: Tensor, width: int) -> Tensor:
        filling = torch.ones(1, width, dtype=torch.long)
        return torch.cat((filling, tokens) if side == "left" else (tokens, filling), dim=1)

    padded = network(pad(source[1:2], 4), pad(target[1:2], 3))
    real = padded[:, 3:] if side == "left" else padded[:, :-3]
    torch.testing.assert_close(real, expected, rtol=0, atol=1e-12)


@each
@torch.no_grad()
def test_the_future_is_hidden(architecture: AnyArchitecture) -> None:
    network = example_network(architecture)
    source, target = batch(3)
    expected = network(source, target)
    for position in range(1, target.shape[1]):
        changed = target.clone()
        changed[:, position:] = 5
        found = network(source, changed)
        assert torch.equal(found[:, :position], expected[:, :position])
        assert not torch.equal(found[:, position:], expected[:, position:])


@each
@pytest.mark.parametrize("embeddings", ["shared", "separate"])
@torch.no_grad()
def test_steps_give_the_teacher_forced_logits(architecture: AnyArchitecture, embeddings: str) -> None:
    """Beyond the window of any convolution, which then moves on."""
    network = example_network(architecture, embeddings)
    source, _ = batch(5)
    target = torch.randint(3, VOCAB, (3, 25), generator=torch.Generator().manual_seed(0))
    expected = network(source, target)
    state = network.start(source)
    steps = [network.step(target[:, position], state) for position in range(target.shape[1])]
    torch.testing.assert_close(torch.stack(steps, dim=1), expected, rtol=0, atol=1e-12)


@each_family
@torch.no_grad()
def test_beam_search_over_a_batch_is_that_of_each_sentence(architecture: AnyArchitecture) -> None:
    """Caches, windows and memories follow hypotheses and the sentences that are left, padded or not."""
    network = example_network(architecture)
    source, _ = batch(6)  # its first sentence is padded
    options = DecodeOptions(beam=4, nbest=4, min_length=13, max_length_factor=1.5, max_length_offset=14)
    together = beam_search(network, source, options)
    alone = [beam_search(network, row[row.ne(1)][None], options)[0] for row in source]
    assert [[h.tokens for h in found] for found in together] == [[h.tokens for h in one] for one in alone]
    for hypotheses, row in zip(together, source, strict=True):
        for found in hypotheses:
            target_in = torch.tensor([[2, *found.tokens[:-1]]])
            log_probs = network(row[None], target_in).log_softmax(-1)[0]
            scores = log_probs.gather(1, torch.tensor(found.tokens)[:, None])[:, 0]
            assert found.token_scores == pytest.approx(scores.tolist(), abs=1e-5)


@each
def test_every_weight_has_a_gradient(architecture: AnyArchitecture) -> None:
    network = example_network(architecture)
    source, target = batch(7)
    torch.autograd.backward(network.train()(source, target).log_softmax(-1)[..., 5].sum())
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@each_family
def test_dropout_is_for_training_only(architecture: AnyArchitecture) -> None:
    network = build(ModelConfig(architecture, VOCAB, VOCAB), Dropout(0.3, 0.1))
    source, target = batch(8)
    assert not torch.equal(network(source, target), network(source, target))
    network.eval()
    assert torch.equal(network(source, target), network(source, target))


@each_family
def test_it_learns_to_copy(architecture: AnyArchitecture) -> None:
    """Sequence copy, end to end: from random pairs to exact translations by beam search."""
    torch.manual_seed(0)
    network = build(ModelConfig(architecture, 12, 12, norm=family_of(architecture).norms[-1]))
    optimizer = torch.optim.Adam(network.parameters(), 1e-2, betas=(0.9, 0.98))
    for update in range(400):
        words = torch.randint(4, 12, (32, 5))
        ends = torch.full((32, 1), 2)
        logits = network(torch.cat((words, ends), 1), torch.cat((ends, words), 1))
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), torch.cat((words, ends), 1).flatten())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.param_groups[0]["lr"] = 1e-2 * min(1, (update + 1) / 30)
        optimizer.step()
        if loss < 0.003:
            break
    source = torch.cat((torch.randint(4, 12, (20, 5)), torch.full((20, 1), 2)), 1)
    found = beam_search(network.eval(), source, DecodeOptions(beam=3, max_length_offset=10))
    exact = [list(best.tokens) == row.tolist() for [best], row in zip(found, source, strict=True)]
    assert sum(exact) >= 19


@each
def test_decoder_states_are_those_of_the_network(architecture: AnyArchitecture) -> None:
    """Keys and values of the first step have the heads and widths that the states name."""
    network = example_network(architecture)
    state = network.start(batch(0)[0])
    network.step(torch.tensor([5, 6, 7]), state)
    shapes = {tuple(tensor.shape) for tensor in _tensors([*state.memories, *state.caches])}
    for layer in decoder_states(architecture):
        for _, heads, width in layer.self_attentions:
            assert (3, heads, 1, width) in shapes
        for _, heads, width, attended in layer.cross_attentions:
            assert (3, heads, 7 * attended, width) in shapes


def _tensors(value: object) -> Iterator[Tensor]:
    """All tensors within lists and objects."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _tensors(one)
    elif hasattr(value, "__dict__"):
        yield from _tensors([*vars(value).values()])
