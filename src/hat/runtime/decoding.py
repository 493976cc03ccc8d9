"""The request to an engine and its answer: options of the search, and hypotheses."""

from dataclasses import dataclass, fields

from hat.arguments import check_range, finite_number, whole_number
from hat.errors import UserError

# The least and the most of each option: beyond them, memory, time and powers have no bound.
LIMITS = {
    "beam": (1, 1 << 12),
    "length_penalty": (-10, 10),
    "nbest": (1, 1 << 12),
    "min_length": (1, 1 << 16),
    "max_length_factor": (0, 1 << 16),
    "max_length_offset": (-1 << 16, 1 << 16),
}


@dataclass(frozen=True)
class DecodeOptions:
    """Options of the beam search. Lengths are target tokens including the final </s>. Raises UserError.

    `length_penalty`: a hypothesis scores log-probability / length**length_penalty (docs/reference.md,
    Beam search). The longest hypothesis has max_length_factor × source tokens + max_length_offset tokens.
    """

    beam: int = 5
    length_penalty: float = 1.0
    nbest: int = 1
    min_length: int = 2
    max_length_factor: float = 0.0
    max_length_offset: int = 201

    def __post_init__(self) -> None:
        for field in fields(self):
            convert = whole_number if field.type is int else finite_number
            value = convert(field.name, getattr(self, field.name))
            check_range(field.name, value, *LIMITS[field.name])
            object.__setattr__(self, field.name, value)
        if self.nbest > self.beam:
            raise UserError(f"nbest: {self.nbest} is more than the beam of {self.beam}")
        if self.max_length(1) < self.min_length:
            raise UserError(
                f"max_length_offset: {self.max_length_offset} leaves no room for min_length {self.min_length}"
            )

    def max_length(self, source_length: int) -> int:
        """The most target tokens for a source of `source_length` tokens, </s> counted in both."""
        return int(self.max_length_factor * source_length) + self.max_length_offset


@dataclass(frozen=True)
class Hypothesis:
    """One translation: target ids including the final </s>, its length-normalised log-probability
    and the log-probability of each token."""

    tokens: tuple[int, ...]
    score: float
    token_scores: tuple[float, ...]
