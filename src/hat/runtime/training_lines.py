"""The lines of text that a model was trained on, as far as its users need to know them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from hat.arguments import check_count, plain_numbers
from hat.errors import UserError
from hat.files import check_keys

LARGEST = 1 << 16


@dataclass(frozen=True)
class TrainingLines:
    """The lines of source text that a model was trained on, which limit the length that it can translate at
    once.

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

    @classmethod
    def from_dict(cls, value: object, where: str) -> "TrainingLines":
        """The lines from JSON data, read strictly. Raises UserError."""
        keys = check_keys(value, [field.name for field in fields(cls)], where)
        try:
            return cls(**keys)
        except UserError as error:
            raise UserError(f"{where}.{error}") from error

    def to_dict(self) -> Mapping[str, Any]:
        """JSON data for `from_dict`."""
        return asdict(self)
