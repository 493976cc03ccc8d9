"""Settings of the preparation of text: the built-in corpus, vocabularies and cleaning."""

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from hat.sections import Section
from hat.tokens import SPECIAL_PIECES

# The reasons to drop a pair, in the order of the report.
REASONS = ("empty", "duplicate", "too_long", "ratio")


class BuiltinSizes(Section):
    """Sizes of the built-in English–German corpus, in sentence pairs."""

    train: int = Field(default=60_000, gt=0)
    """Training pairs. 60,000 make its grammar learnable in minutes."""
    valid: int = Field(default=500, gt=0)
    """Validation pairs."""
    test: int = Field(default=500, gt=0)
    """Test pairs, with combinations unseen in training."""


class Vocabulary(Section):
    """The vocabulary, by which text becomes tokens."""

    kind: Literal["sentencepiece", "moses-bpe"] = "sentencepiece"
    """`sentencepiece` needs nothing else on the device; `moses-bpe` is the published models'
    tokenizer (Moses, then subword-nmt), for comparison with them."""
    size: int = Field(default=8000, gt=0)
    """Pieces, special symbols included, per vocabulary; of `moses-bpe`: merges of both languages' common
    byte-pair encoding. 8,000 suit some 10,000 to 200,000 pairs."""
    joint: bool = True
    """One vocabulary (and one embedding matrix) for both languages, as the paper's WMT models have: names and
    numbers are copied."""
    split_dashes: bool = True
    """`moses-bpe`: compounds are split at their dashes, as in the published WMT text."""
    lowercase: bool = False
    """`moses-bpe`: everything is lower-cased, as in the published IWSLT'14 text."""

    @model_validator(mode="after")
    def _check_size(self) -> Self:
        if self.kind == "sentencepiece" and self.size <= len(SPECIAL_PIECES):
            raise ValueError(f"size: {self.size}; it must be above 4, the number of special pieces")
        return self


class Cleaning(Section):
    """Limits of the training pairs that are kept. Lengths are in tokens, </s> included."""

    max_length: int = Field(default=200, ge=2)
    """Longest sentence kept, in tokens of either side. A batch of 4,096 tokens holds 20 of the longest; the
    paper's WMT preparation keeps 250."""
    max_ratio: float = Field(default=3.0, ge=1.0)
    """Largest ratio between the lengths of a pair kept. Short honest pairs differ much ("Yes." – "Ja, das ist
    so."), so 3 only catches misaligned lines."""

    def verdict(self, source: Sequence[int], target: Sequence[int]) -> str | None:
        """The reason to drop a tokenised pair, one of REASONS, or None to keep it."""
        shorter, longer = sorted((len(source) + 1, len(target) + 1))
        if shorter == 1:
            return "empty"
        if longer > self.max_length:
            return "too_long"
        return "ratio" if longer > self.max_ratio * shorter else None
