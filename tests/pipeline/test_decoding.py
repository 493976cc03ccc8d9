"""The choice of a model's beam and length penalty."""

from collections.abc import Sequence
from typing import Any

import pytest

from hat.pipeline.models.scoring import LENGTH_PENALTIES, best_length_penalty, smallest_beam, translate_all
from hat.progress import silent

REFERENCES = ["the dog runs over the green meadow", "two children play in the warm sand", "a man"]


class Speaker:
    """Stands in for a Translator: the further from `right` the penalty is and the more the beam is below
    `needed`, the more words are missing."""

    def __init__(self, right: float = 1.0, needed: int = 1) -> None:
        self.right, self.needed = right, needed
        self.batches: list[int] = []
        self.beams: list[int | None] = []

    def translate(
        self, lines: Sequence[str], *, beam: int | None, length_penalty: float | None, batch: int
    ) -> list[str]:
        self.batches.append(len(lines))
        self.beams.append(beam)
        missing = 0 if length_penalty is None else round(abs(length_penalty - self.right) * 10)
        missing += max(0, self.needed - (beam or self.needed))
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


def beam_of(speaker: Any, most: int, loss: float) -> int:
    text = (REFERENCES, REFERENCES)
    return smallest_beam(speaker, text, most=most, loss=loss, batch=8, progress=silent)


def test_the_smallest_beam_that_loses_no_more_than_allowed() -> None:
    assert [beam_of(Speaker(needed=needed), 5, 0.0) for needed in (1, 2, 4, 5, 9)] == [1, 2, 4, 5, 5]
    assert beam_of(Speaker(needed=4), 5, 100.0) == 1
    assert 1 < beam_of(Speaker(needed=5), 5, 20.0) < 5


def test_no_beam_is_tried_beyond_the_chosen_one_but_the_widest() -> None:
    speaker: Any = Speaker(needed=2)
    assert beam_of(speaker, 5, 0.0) == 2
    assert speaker.beams == [5, 1, 2]
    assert beam_of(Speaker(), 1, 0.0) == 1
