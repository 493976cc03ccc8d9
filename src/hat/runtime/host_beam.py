"""Beam search in numpy, for engines that compute only the network: the same search as in
`hat.model.beam`, on the best words of each hypothesis instead of the whole vocabulary."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hat.runtime.engine import DecodeOptions, Hypothesis
from hat.runtime.tokenizer import EOS, PAD

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Array = NDArray[Any]


class Decoder(Protocol):
    """The network under way with a batch of sentences, R = B × K hypotheses."""

    def step(
        self, tokens: Integers, parents: Integers, wanted: Integers, candidates: int
    ) -> tuple[Floats, Integers, Floats]:
        """One more position: log-probabilities and words (R, C) of the best words of each row, and
        (R) those of the words `wanted` (R). Row r goes on from row `parents[r]` of the last step."""

    def select(self, rows: Integers) -> None:
        """Go on with these sentences only."""


@dataclass
class _Beams:
    """The live hypotheses of the sentences still being decoded (B of them, K each)."""

    sentences: list[int]  # which input each row of B is
    tokens: Integers  # (B, K, t)
    token_scores: Floats  # (B, K, t)
    scores: Floats  # (B, K)


@dataclass
class _Ranked:
    """The best continuations of each sentence, best first, (B, 2K) each."""

    parents: Integers
    words: Integers
    totals: Floats
    word_scores: Floats


def beam_search(
    decoder: Decoder, source_lengths: Sequence[int], vocabulary: int, options: DecodeOptions
) -> list[list[Hypothesis]]:
    """The `options.nbest` best hypotheses of each sentence, best first.

    At each step the 2K best continuations are looked at: an </s> among the first K ends its
    hypothesis, one ranked lower is dropped, and a sentence is done when K hypotheses have ended.
    """
    count, beam = len(source_lengths), options.beam
    limits = [options.max_length(length) for length in source_lengths]
    scores = np.full((count, beam), -np.inf, np.float32)
    scores[:, 0] = 0  # all beams start alike, so only one of them may branch
    empty = np.zeros((count, beam, 0))
    beams = _Beams(list(range(count)), empty.astype(np.int64), empty.astype(np.float32), scores)
    last, parents = np.full(count * beam, EOS), np.arange(count * beam)
    finished: list[list[Hypothesis]] = [[] for _ in range(count)]
    # PAD and, before the shortest length, </s> are never taken: two more than are needed.
    candidates = min(2 * beam + 2, vocabulary)
    length = 0
    while beams.sentences:
        length += 1
        found = decoder.step(last, parents, np.full(len(last), EOS), candidates)
        at_limit = [row for row, sentence in enumerate(beams.sentences) if length >= limits[sentence]]
        ranked = _rank(beams, *found, at_limit, length < options.min_length)
        _finish(beams, finished, length, options, ranked)
        running = [
            row
            for row, sentence in enumerate(beams.sentences)
            if len(finished[sentence]) < beam and length < limits[sentence]
        ]
        rows = np.array(running, np.int64)
        if len(running) < len(beams.sentences):
            decoder.select(rows)
        beams, parents = _advance(beams, ranked, rows)
        last = beams.tokens[..., -1].ravel()
    for hypotheses in finished:
        hypotheses.sort(key=lambda hypothesis: -hypothesis.score)
    return [hypotheses[: options.nbest] for hypotheses in finished]


def _rank(
    beams: _Beams, log_probs: Floats, words: Integers, ends: Floats, at_limit: list[int], too_short: bool
) -> _Ranked:
    """The 2K best continuations from the best words (B·K, C) of each hypothesis.

    `ends` (B·K): what </s> would score, the one continuation of sentences `at_limit`.
    """
    count, beam = beams.scores.shape
    log_probs, words = (value.reshape(count, beam, -1).copy() for value in (log_probs, words))
    log_probs[words == PAD] = -np.inf
    if too_short:
        log_probs[words == EOS] = -np.inf
    if at_limit:
        log_probs[at_limit] = -np.inf
        words[at_limit, :, 0] = EOS
        log_probs[at_limit, :, 0] = ends.reshape(count, beam)[at_limit] if not too_short else -np.inf
    totals = (beams.scores[..., None] + log_probs).reshape(count, -1)
    order = np.argsort(-totals, axis=1, kind="stable")[:, : 2 * beam]
    taken = (np.take_along_axis(v.reshape(count, -1), order, axis=1) for v in (words, totals, log_probs))
    return _Ranked(order // log_probs.shape[2], *taken)


def _finish(
    beams: _Beams, finished: list[list[Hypothesis]], length: int, options: DecodeOptions, ranked: _Ranked
) -> None:
    first = slice(None), slice(options.beam)
    ended = (ranked.words[first] == EOS) & np.isfinite(ranked.totals[first])
    for row, rank in np.argwhere(ended).tolist():
        hypotheses = finished[beams.sentences[row]]
        if len(hypotheses) < options.beam:
            parent = ranked.parents[row, rank]
            hypotheses.append(
                Hypothesis(
                    tokens=(*beams.tokens[row, parent].tolist(), EOS),
                    score=float(ranked.totals[row, rank]) / length**options.length_penalty,
                    token_scores=(
                        *beams.token_scores[row, parent].tolist(),
                        float(ranked.word_scores[row, rank]),
                    ),
                )
            )


def _advance(beams: _Beams, ranked: _Ranked, rows: Integers) -> tuple[_Beams, Integers]:
    """The K best continuations that are not </s> of the sentences `rows`, and the row of each one's
    parent among the B × K of this step."""
    beam = beams.scores.shape[1]
    keep = np.argsort(ranked.words == EOS, axis=1, kind="stable")[:, :beam]
    parents, words, totals, word_scores = (
        np.take_along_axis(value, keep, axis=1)[rows]
        for value in (ranked.parents, ranked.words, ranked.totals, ranked.word_scores)
    )
    sentence = rows[:, None]
    return _Beams(
        [beams.sentences[row] for row in rows],
        np.concatenate((beams.tokens[sentence, parents], words[..., None]), axis=2),
        np.concatenate((beams.token_scores[sentence, parents], word_scores[..., None]), axis=2),
        totals,
    ), (sentence * beam + parents).ravel()
