"""Paired bootstrap: what it compares, and what its interval means."""

import random

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU

from hat.errors import UserError
from hat.evaluation import score
from hat.evaluation.bootstrap import Statistics, difference, paired_bootstrap

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


@pytest.mark.parametrize("lines", [1, 9])
def test_too_few_sentences_tell_nothing(lines: int) -> None:
    references = text(1, lines)
    found = paired_bootstrap(references, damaged(references, 0.9, 2), references)
    assert (found.low, found.high) == (-100, 100)


def invented(sentences: int, rng: np.random.Generator) -> list[Statistics]:
    """Two systems' matches on a text of sentences that are hard or easy for both; one is better."""
    lengths = np.maximum(3, rng.poisson(12, sentences))
    hard = rng.standard_normal(sentences)
    systems = []
    for quality in (1.0, 0.9):
        own = quality + 0.5 * hard + 0.6 * rng.standard_normal(sentences)
        share = 1 / (1 + np.exp(-own))
        system = np.maximum(2, lengths + rng.integers(-1, 2, sentences))
        totals = np.stack([np.maximum(system - order, 0) for order in range(4)])
        counts = [rng.binomial(total, share ** (1 + 0.7 * order)) for order, total in enumerate(totals)]
        systems.append(np.stack([system, lengths, *counts, *totals], axis=1))
    return systems


def bleu(statistics: Statistics) -> float:
    system, reference, *counts = statistics.sum(axis=0).tolist()
    return float(BLEU.compute_bleu(counts[:4], counts[4:], system, reference, "exp").score)


@pytest.mark.parametrize("sentences", [10, 20, 200])
def test_a_difference_is_in_its_interval_in_95_of_100_texts(sentences: int) -> None:
    """The difference on a text of 400,000 sentences, and 300 small ones to tell it from. A share of 95 % of
    these comes out above 91.5 % in 199 of 200 simulations."""
    ours, theirs = invented(400_000, np.random.default_rng(1))
    truth = bleu(ours) - bleu(theirs)
    rng = np.random.default_rng(2)
    found = [difference(*invented(sentences, rng), 300, seed) for seed in range(300)]
    assert sum(one.low <= truth <= one.high for one in found) >= 0.915 * len(found)
