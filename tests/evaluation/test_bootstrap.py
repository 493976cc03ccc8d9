"""Paired bootstrap: what it compares, and what its interval means."""

import random

import pytest

from hat.errors import UserError
from hat.evaluation import score
from hat.evaluation.bootstrap import paired_bootstrap

WORDS = [
    "a",
    "man",
    "in",
    "blue",
    "runs",
    "over",
    "the",
    "wide",
    "green",
    "field",
    "with",
    "two",
    "small",
    "dogs",
    "and",
    "laughs",
]


def text(seed: int, lines: int = 120) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(6, 14))) for _ in range(lines)]


def damaged(lines: list[str], share: float, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join("x" if rng.random() < share else word for word in line.split()) for line in lines]


def test_the_difference_is_that_of_the_corpus_scores() -> None:
    references = text(1)
    better, worse = damaged(references, 0.1, 2), damaged(references, 0.3, 3)
    found = paired_bootstrap(better, worse, references, samples=200)
    assert found.bleu == pytest.approx(score(better, references).bleu - score(worse, references).bleu)
    assert 0 < found.low < found.bleu < found.high


def test_equal_systems_differ_in_no_sample() -> None:
    references = text(1)
    system = damaged(references, 0.2, 4)
    found = paired_bootstrap(system, system, references, samples=50)
    assert (found.bleu, found.low, found.high) == (0, 0, 0)


def test_alike_systems_are_not_told_apart() -> None:
    references = text(1)
    one, other = damaged(references, 0.2, 5), damaged(references, 0.2, 6)
    found = paired_bootstrap(one, other, references, samples=300)
    assert found.low < 0 < found.high
    swapped = paired_bootstrap(other, one, references, samples=300)
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low))


@pytest.mark.parametrize(("one", "other", "lines"), [(2, 3, 3), (3, 2, 3), (3, 3, 2), (0, 0, 0)])
def test_unequal_or_no_lines(one: int, other: int, lines: int) -> None:
    with pytest.raises(UserError, match=f"{one} and {other} translations for {lines} references"):
        paired_bootstrap(["a"] * one, ["a"] * other, ["a"] * lines)
