"""From raw timings to a latency: a median with its interval, and when it has been timed often enough.

Every interval here is made of order statistics, so that nothing is supposed of the distribution: a median
lies outside of the k-th values from both ends with the probability 2 P(Bin(n, ½) < k).
"""

from collections.abc import Sequence
from functools import cache
from math import inf, pi, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CONFIDENCE = 0.95
# An interval that is looked at again and again until it is narrow has to be wider each time. With this
# confidence at each of `looks`, it covers the median in at least 95 % of series, as simulated with normal,
# skewed and disturbed noise of 1 to 5 % (tests/hardware/test_coverage.py).
LOOK_CONFIDENCE = 0.97
FEWEST_ROUNDS = 8  # seven are the fewest that have an interval of that confidence
# A round's time is divided by the mean of the reference's two, whose noise adds half as much variance.
PAIRED_NOISE = sqrt(1.5)
QUARTILES = 2 * NormalDist().inv_cdf(0.75)  # the interquartile range of normal noise, in standard deviations


def relative_times(pairs_ms: Sequence[Sequence[float]], reference_ms: Sequence[Sequence[float]]) -> Array:
    """A model's time in each round, mean over the pairs of lengths, divided by the reference model's in the
    same round, mean over its calls: (rounds). Rounds do not depend on each other, and drift is in both."""
    found: Array = np.asarray(pairs_ms, float).mean(axis=1) / np.asarray(reference_ms, float).mean(axis=1)
    return found


def median_interval(values: Array, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """An interval that covers the median with at least this confidence, for a number of values that was
    settled before; unbounded where they are too few (five or less for 95 %)."""
    skipped = _left_out(len(values), confidence)
    if skipped is None:
        return -inf, inf
    ordered = np.sort(values)
    return float(ordered[skipped]), float(ordered[len(ordered) - 1 - skipped])


def series_interval(values: Array) -> tuple[float, float]:
    """The 95 % interval of the median of a series that ended when `timed_enough` said so."""
    return median_interval(values, LOOK_CONFIDENCE)


def timed_enough(values: Array, interval: float, most: int) -> bool:
    """Whether a series ends here: at its last round, or where it is looked at and half its interval is at
    most the share `interval` of its median."""
    ends = looks(most)
    if len(values) >= ends[-1]:
        return True
    if len(values) not in ends:
        return False
    low, high = series_interval(values)
    return (high - low) / 2 <= interval * float(np.median(values))


@cache
def looks(most: int) -> tuple[int, ...]:
    """The numbers of rounds after which a series of at most `most` may end: 8, 16, 32, … and the last, which
    is no less than 8: fewer have no interval."""
    found = [FEWEST_ROUNDS]
    while 2 * found[-1] < most:
        found.append(2 * found[-1])
    return (*found, most) if most > FEWEST_ROUNDS else tuple(found)


@cache
def typical_half_width(count: int) -> float:
    """Half the interval of a series of so many rounds, in standard deviations of normal noise (Blom's
    approximation of expected order statistics); infinite where they are too few."""
    skipped = _left_out(count, LOOK_CONFIDENCE)
    if skipped is None:
        return inf
    return NormalDist().inv_cdf((count - skipped - 0.375) / (count + 0.25))


def standard_error(half_width: float, count: int) -> float:
    """The standard error of a median of so many rounds, from half its interval."""
    return half_width / typical_half_width(count) * sqrt(pi / 2 / count)


@cache
def _left_out(count: int, confidence: float) -> int | None:
    """How many values at either end the interval leaves out; None where even the extremes do not reach
    the confidence. Leaving out k, it misses with the probability 2 P(Bin(n, ½) ≤ k)."""
    found, below, ways = None, 0, 1
    for skipped in range(count // 2):
        below += ways
        if 2 * below / 2**count > 1 - confidence:
            break
        found = skipped
        ways = ways * (count - skipped) // (skipped + 1)
    return found
