"""The lines of text that a model was trained on, as far as its users need to know them."""

from dataclasses import dataclass

from hat.arguments import check_count, plain_numbers

LARGEST = 1 << 16


@dataclass(frozen=True)
class TrainingLines:
    """The lines of source text, whose length limits what the model can translate at once.

    `source_tokens`: the greatest length of all but one in 10,000 of the lines, </s> included. `sentences`:
    the greatest number that at least one in 20 of the lines has. The defaults are for artefacts without this
    entry.
    """

    source_tokens: int = 256
    sentences: int = 1

    def __post_init__(self) -> None:
        plain_numbers(self)
        check_count("source_tokens", self.source_tokens, 2, LARGEST)
        check_count("sentences", self.sentences, 1, LARGEST)
