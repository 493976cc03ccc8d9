"""The difference between two systems' BLEU, with an interval that shows if the test text decides it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics.bleu import BLEU
from scipy.special import stdtrit

from hat.errors import UserError
from hat.evaluation.scores import text_lines

Statistics = NDArray[np.int64]  # rows: sentences; columns: lengths and n-gram counts

ORDER = 4
CONFIDENCE = 0.95
# Resamples of fewer sentences say nothing about another text.
FEWEST = 10


@dataclass(frozen=True)
class Difference:
    """BLEU of one system minus that of another: the value on the whole test text, and its 95% interval from
    `samples` resamples, which is −100 to 100 if the text has fewer than 10 sentences."""

    bleu: float
    low: float
    high: float
    samples: int


def paired_bootstrap(
    system: Iterable[str],
    rival: Iterable[str],
    references: Iterable[str],
    *,
    samples: int = 2000,
    seed: int = 12345,
) -> Difference:
    """Compare two systems on the same resampled sentences (Koehn 2004), in BLEU as `score` counts it.

    Raises UserError for unequal numbers of lines, or none.
    """
    system, rival, references = (text_lines(lines) for lines in (system, rival, references))
    if not len(system) == len(rival) == len(references) or not references:
        counts = f"{len(system)} and {len(rival)} translations for {len(references)} references"
        raise UserError(f"{counts}; comparing needs equally many, and at least one")
    return difference(statistics(system, references), statistics(rival, references), samples, seed)


def difference(system: Statistics, rival: Statistics, samples: int, seed: int) -> Difference:
    """`paired_bootstrap` from the `statistics` of both systems."""
    whole = _bleu(system.sum(axis=0)) - _bleu(rival.sum(axis=0))
    count = len(system)
    if count < FEWEST:
        return Difference(whole, -100.0, 100.0, samples)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(count, np.full(count, 1 / count), samples)
    totals = zip(drawn @ system, drawn @ rival, strict=True)
    differences = [_bleu(first) - _bleu(second) for first, second in totals]
    left_out = share_left_out(count)
    low, high = np.quantile(differences, (left_out, 1 - left_out)).tolist()
    return Difference(whole, low, high, samples)


def share_left_out(count: int) -> float:
    """The share of resamples outside the interval on either side, of `count` sentences or the like.

    It is less than 2.5 % to make up for two effects of few of them: resamples vary too little, by the
    factor (n − 1) / n, and a normal interval is narrower than Student's (Hesterberg 2015, "What teachers
    should know about the bootstrap").
    """
    student = stdtrit(count - 1, (1 + CONFIDENCE) / 2)
    return NormalDist().cdf(-student * sqrt(count / (count - 1)))


def statistics(lines: Sequence[str], references: Sequence[str]) -> Statistics:
    """For each sentence: hypothesis and reference length, matching n-grams, n-grams."""
    bleu = BLEU(effective_order=True)
    rows = []
    for line, reference in zip(lines, references, strict=True):
        counted: Any = bleu.sentence_score(line, [reference])
        rows.append([counted.sys_len, counted.ref_len, *counted.counts, *counted.totals])
    return np.array(rows, np.int64)


def _bleu(total: NDArray[np.int64]) -> float:
    system, reference, *counts = total.tolist()
    return float(BLEU.compute_bleu(counts[:ORDER], counts[ORDER:], system, reference, "exp").score)
