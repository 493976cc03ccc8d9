"""Beam search exactly as the published results were decoded (docs/reference.md, Beam search)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from hat.runtime import DecodeOptions, Hypothesis
from hat.tokens import EOS, PAD

MINUS_INFINITY = float("-inf")


class Decodes(Protocol):
    """The interface of networks to beam search: a `TranslationModel`, or a faster way to run one."""

    def start(self, source: Tensor) -> Any:
        """Encode source (B, S); the state has `select(rows, parents)`, as DecoderState's."""

    def step(self, tokens: Tensor, state: Any) -> Tensor:
        """Logits (B·K, V) after one more token (B·K) of every hypothesis; `state` moves on."""


@dataclass
class _Beams:
    """The live hypotheses of the sentences still being decoded (B of them, K each)."""

    sentences: list[int]  # the input of each row of B
    tokens: Tensor  # (B, K, t)
    token_scores: Tensor  # (B, K, t)
    scores: Tensor  # (B, K)


@torch.inference_mode()
def beam_search(model: Decodes, source: Tensor, options: DecodeOptions) -> list[list[Hypothesis]]:
    """The `options.nbest` best hypotheses of each sentence of source (B, S), best first.

    Each step ranks the 2K best continuations: an </s> among the first K ends its hypothesis, a lower one is
    dropped, and a sentence is done when K hypotheses have ended.
    """
    count, beam = source.shape[0], options.beam
    limits = [options.max_length(n) for n in source.ne(PAD).sum(dim=1).tolist()]
    state = model.start(source)
    empty = torch.zeros(count, beam, 0, device=source.device)
    scores = torch.full((count, beam), MINUS_INFINITY, device=source.device)
    scores[:, 0] = 0  # all hypotheses start equal, so only the first may branch
    beams = _Beams(list(range(count)), empty.long(), empty, scores)
    last = torch.full((count * beam,), EOS, device=source.device)
    finished: list[list[Hypothesis]] = [[] for _ in range(count)]
    length = 0
    while beams.sentences:
        length += 1
        log_probs = _allowed(model.step(last, state), beams, limits, length, options.min_length)
        parents, words, ranked, word_scores = _candidates(beams, log_probs)
        _finish(beams, finished, length, options, (parents, words, ranked, word_scores))
        running = [
            row
            for row, sentence in enumerate(beams.sentences)
            if len(finished[sentence]) < beam and length < limits[sentence]
        ]
        # Stable: the first K continuations that are not </s>, in order of score.
        keep = words.eq(EOS).int().argsort(dim=1, stable=True)[:, :beam]
        rows = torch.tensor(running, dtype=torch.long, device=source.device)
        parents, words, ranked, word_scores = (
            value.gather(1, keep)[rows] for value in (parents, words, ranked, word_scores)
        )
        beams.tokens = _extended(beams.tokens[rows], parents, words)
        beams.token_scores = _extended(beams.token_scores[rows], parents, word_scores)
        beams.scores = ranked
        beams.sentences = [beams.sentences[row] for row in running]
        state.select(rows, parents)
        last = words.flatten()
    for hypotheses in finished:
        hypotheses.sort(key=lambda hypothesis: -hypothesis.score)
    return [hypotheses[: options.nbest] for hypotheses in finished]


def _allowed(logits: Tensor, beams: _Beams, limits: Sequence[int], length: int, minimum: int) -> Tensor:
    """Log-probabilities (B, K, V) at position `length` (counted from 1), minus infinity for words not allowed
    there."""
    log_probs = logits.float().log_softmax(dim=-1).view(*beams.scores.shape, -1)
    log_probs[..., PAD] = MINUS_INFINITY
    if length < minimum:
        log_probs[..., EOS] = MINUS_INFINITY
    ending = [row for row, sentence in enumerate(beams.sentences) if length >= limits[sentence]]
    if ending:
        end_scores = log_probs[ending, :, EOS]
        log_probs[ending] = MINUS_INFINITY
        log_probs[ending, :, EOS] = end_scores
    return log_probs


def _candidates(beams: _Beams, log_probs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Parent hypothesis, word, total score and score of the word of the 2K best, each (B, 2K)."""
    vocabulary = log_probs.shape[-1]
    totals = (beams.scores[..., None] + log_probs).flatten(1)
    ranked, flat = totals.topk(min(2 * log_probs.shape[1], totals.shape[1] - 1), dim=1)
    parents = flat // vocabulary
    return parents, flat % vocabulary, ranked, log_probs.flatten(1).gather(1, flat)


def _finish(
    beams: _Beams,
    finished: list[list[Hypothesis]],
    length: int,
    options: DecodeOptions,
    candidates: tuple[Tensor, Tensor, Tensor, Tensor],
) -> None:
    parents, words, ranked, word_scores = (value[:, : options.beam] for value in candidates)
    ended = words.eq(EOS) & ranked.isfinite()
    for row, rank in ended.nonzero().tolist():
        hypotheses = finished[beams.sentences[row]]
        if len(hypotheses) < options.beam:
            parent = int(parents[row, rank])
            tokens = (*beams.tokens[row, parent].tolist(), EOS)
            score = float(ranked[row, rank]) / length**options.length_penalty
            token_scores = (*beams.token_scores[row, parent].tolist(), float(word_scores[row, rank]))
            hypotheses.append(Hypothesis(tokens, score=score, token_scores=token_scores))


def _extended(history: Tensor, parents: Tensor, new: Tensor) -> Tensor:
    """The history (B, K, t) of each hypothesis's parent (B, K), and its new value (B, K): (B, K, t + 1)."""
    inherited = history.gather(1, parents[..., None].expand(-1, -1, history.shape[2]))
    return torch.cat((inherited, new[..., None]), dim=2)
