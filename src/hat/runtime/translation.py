"""What the Translator answers."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hat.runtime.engine import Hypothesis
from hat.runtime.tokenizer import EOS, Tokenizer


@dataclass(frozen=True)
class Translation:
    """One translated line; `str()` of it is its text.

    `score`: length-normalised log-probability (of a line that had to be split: the mean of its
    parts). `tokens`: target pieces, `token_scores`: the log-probability of each (</s> has none of
    its own here). `alternatives`: text and score of the 2nd best, 3rd best, …, where more than one
    was asked for. `milliseconds`: this line's share of the time its batch took to decode, so that
    the shares of all lines add up; of a batch of one, its latency without tokenizing. Waiting for
    other threads' use of the same engine counts, and translations are equal whatever it was.
    """

    text: str
    score: float
    tokens: tuple[str, ...]
    alternatives: tuple[tuple[str, float], ...] = ()
    token_scores: tuple[float, ...] = ()
    milliseconds: float = field(default=0.0, compare=False)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Score:
    """How probable a given translation is. `tokens`: its pieces, the last of them </s>;
    `token_scores`: the log-probability of each, given the source and the pieces before it."""

    tokens: tuple[str, ...]
    token_scores: tuple[float, ...]

    @property
    def log_probability(self) -> float:
        """Of the whole translation, </s> included; not normalised by length."""
        return sum(self.token_scores)


@dataclass(frozen=True)
class Decoded:
    """One part of a line: its hypotheses, best first, and its share of the batch's milliseconds."""

    hypotheses: Sequence[Hypothesis]
    milliseconds: float


def join(parts: Sequence[Decoded], tokenizer: Tokenizer) -> Translation:
    """The translation of a line from those of its parts; the r-th best from all r-th bests."""
    if not parts:
        return Translation("", 0.0, ())
    ranks = list(zip(*(part.hypotheses for part in parts), strict=False))
    # Pieces with </s> left out; the tokenizer turns each part into text of its own.
    best = [
        pair for one in ranks[0] for pair in zip(one.tokens, one.token_scores, strict=True) if pair[0] != EOS
    ]
    return Translation(
        _text(ranks[0], tokenizer),
        _score(ranks[0]),
        tuple(tokenizer.target_pieces([token for token, _ in best])),
        tuple((_text(rank, tokenizer), _score(rank)) for rank in ranks[1:]),
        tuple(score for _, score in best),
        sum(part.milliseconds for part in parts),
    )


def _text(parts: Sequence[Hypothesis], tokenizer: Tokenizer) -> str:
    texts = [tokenizer.decode(list(part.tokens)) for part in parts]
    return " ".join(text for text in texts if text)


def _score(parts: Sequence[Hypothesis]) -> float:
    return sum(part.score for part in parts) / len(parts)
