"""Whether one system translates better than another, or the test text only happens to suit it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics.bleu import BLEU

from hat.errors import UserError
from hat.evaluation.scores import text_lines

ORDER = 4


@dataclass(frozen=True)
class Difference:
    """BLEU of one system minus that of another: of the whole test text, and the 95% interval over
    `samples` resampled ones."""

    bleu: float
    low: float
    high: float
    samples: int


def paired_bootstrap(
    system: Iterable[str],
    rival: Iterable[str],
    references: Iterable[str],
    samples: int = 1000,
    seed: int = 12345,
) -> Difference:
    """Compare two systems on the same resampled sentences (Koehn 2004), in BLEU as `score` counts it.

    Raises UserError for unequal numbers of lines, or none.
    """
    system, rival, references = (text_lines(lines) for lines in (system, rival, references))
    if not len(system) == len(rival) == len(references) or not references:
        raise UserError(
            f"{len(system)} and {len(rival)} translations for {len(references)} references; "
            "comparing needs equally many, and at least one"
        )
    ours, theirs = (_statistics(lines, references) for lines in (system, rival))
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(references), (samples, len(references)))
    drawn = [_bleu(ours[rows].sum(axis=0)) - _bleu(theirs[rows].sum(axis=0)) for rows in chosen]
    low, high = np.quantile(drawn, (0.025, 0.975)).tolist()
    whole = _bleu(ours.sum(axis=0)) - _bleu(theirs.sum(axis=0))
    return Difference(whole, low, high, samples)


def _statistics(lines: Sequence[str], references: Sequence[str]) -> NDArray[np.int64]:
    """For each sentence: hypothesis and reference length, matching n-grams, n-grams."""
    bleu = BLEU(effective_order=True)
    rows = []
    for line, reference in zip(lines, references, strict=True):
        found: Any = bleu.sentence_score(line, [reference])
        rows.append([found.sys_len, found.ref_len, *found.counts, *found.totals])
    return np.array(rows, np.int64)


def _bleu(total: NDArray[np.int64]) -> float:
    system, reference, *counts = total.tolist()
    return float(BLEU.compute_bleu(counts[:ORDER], counts[ORDER:], system, reference, "exp").score)
