"""Beam search in numpy, for engines that compute only the network. It is the search of `hat.model.beam`, but
over the best words of each hypothesis instead of the whole vocabulary."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hat.runtime.decoding import DecodeOptions, Hypothesis
from hat.tokens import EOS, PAD

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Array = NDArray[Any]
# Log-probabilities and ids (R, C) of the best words of R rows, and log-probabilities (R) of wanted words.
Scored = tuple[Floats, Integers, Floats]


class DecoderSteps(Protocol):
    """The decoder's steps over a batch of sentences. It has R rows: one for each sentence at first, then one
    for each of its K hypotheses."""

    def step(self, tokens: Integers, parents: Integers, wanted: Integers, candidates: int) -> Scored:
        """Decode one more position; C is `candidates`. Row r continues row `parents[r]` of the last step."""

    def select(self, rows: Integers) -> None:
        """Continue with these sentences only."""


@dataclass
class _Step:
    """The last word of each of R hypotheses at one step, and that word's score."""

    parents: Integers  # (R) rows of the step before
    words: Integers  # (R)
    word_scores: Floats  # (R)


@dataclass
class _Beams:
    """The running hypotheses of the B sentences that have not ended: K each, at the start one each."""

    sentences: list[int]  # (B) index of the input
    scores: Floats  # (B, K)
    steps: list[_Step]  # the last one's rows are the B × K hypotheses

    def trace(self, row: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Words of one hypothesis and their scores, from its first to its last."""
        words, scores = [], []
        for step in reversed(self.steps):
            words.append(int(step.words[row]))
            scores.append(float(step.word_scores[row]))
            row = int(step.parents[row])
        return tuple(words[::-1]), tuple(scores[::-1])


@dataclass
class _Ranked:
    """The best continuations of each sentence, best first, (B, 2K) each. `places`: their places in
    `word_scores`, which has all candidate words, C of each of R hypotheses, in one axis."""

    places: Integers
    words: Integers
    totals: Floats
    word_scores: Floats  # (R × C)
    candidates: int  # C
    ended: NDArray[np.bool_]  # True for the word </s>
    any_ended: bool


def beam_search(
    decoder: DecoderSteps, source_lengths: Sequence[int], vocabulary: int, options: DecodeOptions
) -> list[list[Hypothesis]]:
    """The `options.nbest` best hypotheses of each sentence, best first.

    Each step ranks the 2K best continuations: an </s> among the first K ends its hypothesis, one ranked lower
    is dropped, and a sentence is done when K hypotheses have ended.
    """
    count, beam = len(source_lengths), options.beam
    limits = [options.max_length(length) for length in source_lengths]
    # All hypotheses of a sentence start alike: the first step has one of each.
    beams = _Beams(list(range(count)), np.zeros((count, 1), np.float32), [])
    last, parents = np.full(count, EOS), np.arange(count)
    finished: list[list[Hypothesis]] = [[] for _ in range(count)]
    # Two more than are ranked, since PAD and, below the shortest length, </s> are never taken.
    candidates = min(2 * beam + 2, vocabulary)
    length = 0
    while beams.sentences:
        length += 1
        scored = decoder.step(last, parents, np.full(len(last), EOS), candidates)
        at_limit = [row for row, sentence in enumerate(beams.sentences) if length >= limits[sentence]]
        ranked = _rank(beams, beam, scored, at_limit, length < options.min_length)
        _finish(beams, finished, length, options, ranked)
        running = [
            row
            for row, sentence in enumerate(beams.sentences)
            if len(finished[sentence]) < beam and length < limits[sentence]
        ]
        if len(running) < len(beams.sentences):
            decoder.select(np.array(running, np.int64))
        _advance(beams, beam, ranked, running)
        last, parents = beams.steps[-1].words, beams.steps[-1].parents
    for hypotheses in finished:
        hypotheses.sort(key=lambda hypothesis: -hypothesis.score)
    return [hypotheses[: options.nbest] for hypotheses in finished]


def _rank(beams: _Beams, beam: int, scored: Scored, at_limit: list[int], too_short: bool) -> _Ranked:
    """The 2K best continuations from the best words `scored`, with the score of </s> as the wanted one, which
    is the one continuation of sentences `at_limit`."""
    log_probs, words, ends = scored
    count, width = beams.scores.shape
    # Few numbers, but each operation counts: the network has just pushed Python out of the processor's
    # caches, and this function takes as long as a layer.
    forbidden = words == PAD
    if too_short:
        forbidden |= words == EOS
    if forbidden.any():
        log_probs = np.where(forbidden, np.float32(-np.inf), log_probs)
    if at_limit:
        words, log_probs = words.reshape(count, width, -1).copy(), log_probs.reshape(count, width, -1).copy()
        words[at_limit, :, 0] = EOS
        log_probs[at_limit] = -np.inf
        if not too_short:
            log_probs[at_limit, :, 0] = ends.reshape(count, width)[at_limit]
    totals = (beams.scores.reshape(-1, 1) + log_probs.reshape(count * width, -1)).reshape(count, -1)
    places = (-totals).argsort(axis=1, kind="stable")[:, : 2 * beam]
    if count > 1:
        places += totals.shape[1] * np.arange(count)[:, None]
    best = words.ravel()[places]
    ended = best == EOS
    candidates = totals.size // beams.scores.size
    best_totals, any_ended = totals.ravel()[places], bool(ended.any())
    return _Ranked(places, best, best_totals, log_probs.ravel(), candidates, ended, any_ended)


def _finish(
    beams: _Beams, finished: list[list[Hypothesis]], length: int, options: DecodeOptions, ranked: _Ranked
) -> None:
    if not ranked.any_ended:
        return
    first = slice(None), slice(options.beam)
    for row, rank in np.argwhere(ranked.ended[first] & np.isfinite(ranked.totals[first])).tolist():
        hypotheses = finished[beams.sentences[row]]
        if len(hypotheses) < options.beam:
            place = int(ranked.places[row, rank])
            words, scores = beams.trace(place // ranked.candidates)
            score = float(ranked.totals[row, rank]) / length**options.length_penalty
            last = float(ranked.word_scores[place])
            hypotheses.append(Hypothesis((*words, EOS), score, (*scores, last)))


def _advance(beams: _Beams, beam: int, ranked: _Ranked, running: list[int]) -> None:
    """Continue the sentences `running` with their K best continuations other than </s>, or with all of them
    if the vocabulary has fewer."""
    kept: tuple[Any, Any] = slice(None), slice(beam)
    totals = ranked.totals
    if ranked.any_ended:
        keep = ranked.ended.argsort(axis=1, kind="stable")[running, :beam]
        kept = np.array(running, np.int64)[:, None], keep
        # An </s> that fills up a row never continues.
        totals = np.where(ranked.ended, np.float32(-np.inf), totals)
    places = ranked.places[kept].ravel()
    words, scores = ranked.words[kept].ravel(), ranked.word_scores[places]
    beams.steps.append(_Step(places // ranked.candidates, words, scores))
    beams.scores = totals[kept]
    beams.sentences = [beams.sentences[row] for row in running]
