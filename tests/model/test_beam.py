"""Beam search against exhaustive search, and its independence of batching."""

from itertools import product

import pytest
import torch

from hat.architecture import ModelConfig
from hat.model import SuperTransformer, Transformer, beam_search
from hat.runtime import DecodeOptions
from tests.model.networks import SPACE

VOCAB = 7


def model(seed: int) -> Transformer:
    torch.manual_seed(seed)
    network = SuperTransformer(ModelConfig(SPACE.largest(), VOCAB, VOCAB)).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network.extract(SPACE.smallest()).eval()


@torch.no_grad()
def best_by_enumeration(
    network: Transformer, source: torch.Tensor, longest: int, penalty: float
) -> tuple[float, tuple[int, ...]]:
    best = (float("-inf"), ())
    words = [word for word in range(VOCAB) if word not in (1, 2)]
    for length in range(2, longest + 1):
        for body in product(words, repeat=length - 1):
            tokens = (*body, 2)
            log_probs = network(source, torch.tensor([(2, *body)])).log_softmax(-1)
            total = sum(float(log_probs[0, step, token]) for step, token in enumerate(tokens))
            best = max(best, (total / length**penalty, tokens))
    return best


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_wide_beam_finds_the_best_of_all(penalty: float) -> None:
    source = torch.tensor([[3, 4, 5, 2]])
    for seed in range(3):
        network = model(seed)
        options = DecodeOptions(beam=125, length_penalty=penalty, max_length_offset=4)
        (found,) = beam_search(network, source, options)
        score, tokens = best_by_enumeration(network, source, 4, penalty)
        assert found[0].tokens == tokens
        assert found[0].score == pytest.approx(score, abs=1e-5)
        assert sum(found[0].token_scores) / len(tokens) ** penalty == pytest.approx(score, abs=1e-5)


@pytest.mark.parametrize("beam", [1, 3, 5])
def test_batching_changes_nothing(beam: int) -> None:
    generator = torch.Generator().manual_seed(0)
    sources = [
        [*torch.randint(3, VOCAB, (length,), generator=generator).tolist(), 2] for length in (3, 9, 5, 1)
    ]
    longest = max(map(len, sources))
    batch = torch.tensor([[1] * (longest - len(source)) + source for source in sources])
    options = DecodeOptions(beam=beam, nbest=beam, max_length_factor=1.5, max_length_offset=3)
    for seed in range(4):
        network = model(seed)
        together = beam_search(network, batch, options)
        for source, hypotheses in zip(sources, together, strict=True):
            (alone,) = beam_search(network, torch.tensor([source]), options)
            assert [h.tokens for h in alone] == [h.tokens for h in hypotheses]
            assert [h.score for h in alone] == pytest.approx([h.score for h in hypotheses], abs=1e-6)
            assert all(len(h.tokens) <= options.max_length(len(source)) for h in hypotheses)


def test_equal_shortest_and_longest_length_forces_the_number_of_steps() -> None:
    options = DecodeOptions(beam=4, nbest=4, min_length=6, max_length_offset=6)
    (hypotheses,) = beam_search(model(1), torch.tensor([[3, 2]]), options)
    assert {len(hypothesis.tokens) for hypothesis in hypotheses} == {6}
