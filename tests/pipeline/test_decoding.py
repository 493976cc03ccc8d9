"""The choice of a model's length penalty."""

from collections.abc import Sequence
from typing import Any

import pytest

from hat.pipeline.models.scoring import LENGTH_PENALTIES, best_length_penalty, translate_all
from hat.progress import silent

REFERENCES = ["the dog runs over the green meadow", "two children play in the warm sand", "a man"]


class Speaker:
    """Stands in for a Translator: the further from `right` the penalty is, the more words are missing."""

    def __init__(self, right: float) -> None:
        self.right = right
        self.batches: list[int] = []

    def translate(self, lines: Sequence[str], *, length_penalty: float | None, batch: int) -> list[str]:
        self.batches.append(len(lines))
        missing = 0 if length_penalty is None else round(abs(length_penalty - self.right) * 10)
        return [" ".join(line.split()[: max(1, 7 - missing)]) for line in lines]


def best(speaker: Any) -> float:
    return best_length_penalty(speaker, (REFERENCES, REFERENCES), batch=2, progress=silent)


@pytest.mark.parametrize("right", [LENGTH_PENALTIES[0], 1.4, LENGTH_PENALTIES[-1]])
def test_the_penalty_of_most_bleu(right: float) -> None:
    assert best(Speaker(right)) == right


def test_of_equals_the_least() -> None:
    assert best(Speaker(100)) == LENGTH_PENALTIES[0]


def test_all_lines_in_order_and_in_pieces() -> None:
    speaker: Any = Speaker(1.0)
    lines = [f"line {number}" for number in range(20)]
    assert translate_all(speaker, lines, batch=2, progress=silent) == lines
    assert speaker.batches == [16, 4]
