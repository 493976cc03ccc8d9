"""The results of a Translator: translations and scores."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hat.runtime.decoding import Hypothesis


@dataclass(frozen=True)
class Translation:
    """One translated line; `str()` of it is its text.

    `score`: length-normalised log-probability (of a line translated in parts: the mean of theirs). `tokens`:
    target pieces; `token_scores`: the log-probability of each (</s> is left out). `alternatives`: text and
    score of the 2nd best, 3rd best, …, for an `nbest` above 1. `milliseconds`: this line's share of the
    decoding time of its batch, so that the shares of all lines add up; for a batch of one, the latency
    without tokenizing. It includes waiting for other threads that use the same engine, which never changes a
    translation. `parts`: the number of parts of the line that were translated separately, 0 if the line came
    back unchanged; `cut`: True if a sentence longer than those that the model was trained on was cut.
    `copied`: the passages of the line that were copied to `text`, because the vocabulary does not know them.
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
    """The probability of a given translation. `tokens`: its pieces, the last of them </s>; `token_scores`:
    the log-probability of each, given the source and the pieces before it; `score`: their sum, normalised by
    length like that of a Translation with the model's default length penalty, so that the two are
    comparable."""

    tokens: tuple[str, ...]
    token_scores: tuple[float, ...]
    score: float

    @property
    def log_probability(self) -> float:
        """Of the whole translation, </s> included; not normalised by length."""
        return sum(self.token_scores)


@dataclass(frozen=True)
class Decoded:
    """One decoded source: its hypotheses, best first, and its share of the batch's milliseconds."""

    hypotheses: Sequence[Hypothesis]
    milliseconds: float
