"""What the Translator answers."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hat.runtime.engine import Hypothesis


@dataclass(frozen=True)
class Translation:
    """One translated line; `str()` of it is its text.

    `score`: length-normalised log-probability (of a line that was translated in parts: the mean of
    theirs). `tokens`: target pieces, `token_scores`: the log-probability of each (</s> has none of
    its own here). `alternatives`: text and score of the 2nd best, 3rd best, …, where more than one
    was asked for. `milliseconds`: this line's share of the time its batch took to decode, so that
    the shares of all lines add up; of a batch of one, its latency without tokenizing. Waiting for
    other threads' use of the same engine counts, and translations are equal whatever it was.
    `parts`: how many parts of the line were translated one by one, 0 where it came back as it was;
    `cut`: a sentence was longer than those the model was trained on, and was cut. `copied`: what
    stands in `text` as it stood in the line, because the vocabulary does not know it.
    """

    text: str
    score: float
    tokens: tuple[str, ...]
    alternatives: tuple[tuple[str, float], ...] = ()
    token_scores: tuple[float, ...] = ()
    milliseconds: float = field(default=0.0, compare=False)
    parts: int = 1
    cut: bool = False
    copied: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Score:
    """How probable a given translation is. `tokens`: its pieces, the last of them </s>;
    `token_scores`: the log-probability of each, given the source and the pieces before it;
    `score`: their sum, normalised by length as that of a Translation with the model's own length
    penalty, so that the two compare."""

    tokens: tuple[str, ...]
    token_scores: tuple[float, ...]
    score: float

    @property
    def log_probability(self) -> float:
        """Of the whole translation, </s> included; not normalised by length."""
        return sum(self.token_scores)


@dataclass(frozen=True)
class Decoded:
    """One source: its hypotheses, best first, and its share of the batch's milliseconds."""

    hypotheses: Sequence[Hypothesis]
    milliseconds: float
