"""From raw timings to a latency: drift divided out, outliers without weight, an interval around it."""

from collections.abc import Sequence
from functools import cache
from math import comb

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# The reference's time of a round is the median over so many rounds before and after too: drift is
# slower than that, and the jitter of single calls is not put into every model's times.
WINDOW = 2
CONFIDENCE = 0.95


def drift(reference_ms: Sequence[Sequence[float]]) -> Array:
    """The reference model's time at each round, smoothed: (rounds)."""
    rounds = np.asarray(reference_ms, float)
    return np.array(
        [np.median(rounds[max(index - WINDOW, 0) : index + WINDOW + 1]) for index in range(len(rounds))]
    )


def median_interval(values: Array) -> tuple[float, float]:
    """A confidence interval of the median that supposes nothing of the distribution: two order
    statistics (the extremes where there are too few values for the confidence)."""
    ordered = np.sort(values)
    skip = _outside(len(ordered))
    return float(ordered[skip]), float(ordered[len(ordered) - 1 - skip])


def half_width(values: Array) -> float:
    """Half of that interval as a share of the median."""
    low, high = median_interval(values)
    return (high - low) / 2 / float(np.median(values))


@cache
def _outside(count: int) -> int:
    """How many values at either end the interval may leave out: P(median outside) = 2 P(Bin(n, ½) ≤ k)."""
    tail, skip = 0.0, 0
    for below in range(count):
        tail += 2 * comb(count, below) / 2**count
        if tail > 1 - CONFIDENCE:
            break
        skip = below + 1
    return min(skip, (count - 1) // 2)
