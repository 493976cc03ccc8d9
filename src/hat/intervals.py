"""A latency from raw timings: a median with its interval, and the rule for when timing ends.

All intervals here are made of order statistics, so that no distribution is assumed: a median lies outside
the k-th values from both ends with the probability 2 P(Bin(n, ½) < k).
"""

from collections.abc import Sequence
from functools import cache
from math import inf, pi, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CONFIDENCE = 0.95
# An interval that is checked repeatedly until it is narrow has to be wider at each check. With this
# confidence at each of the `looks` it covers the median in at least 95 % of series, as simulated with normal,
# skewed and disturbed noise of 1 to 5 % (tests/hardware/test_coverage.py).
LOOK_CONFIDENCE = 0.97
FEWEST_ROUNDS = 8  # at least 7, the fewest with an interval of that confidence
# A round's time is divided by the mean of two reference calls, whose noise adds half as much variance.
PAIRED_NOISE = sqrt(1.5)
QUARTILES = 2 * NormalDist().inv_cdf(0.75)  # interquartile range of normal noise, in standard deviations


def relative_times(pairs_ms: Sequence[Sequence[float]], reference_ms: Sequence[Sequence[float]]) -> Array:
    """A model's time relative to the reference model's in each round: (rounds). Both are means, over the
    pairs of lengths and over the reference's calls. Rounds are independent, and drift cancels out."""
    relative: Array = np.asarray(pairs_ms, float).mean(axis=1) / np.asarray(reference_ms, float).mean(axis=1)
    return relative


def median_interval(values: Array, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """An interval that covers the median with at least this confidence, for a number of values that was fixed
    in advance; unbounded for too few values (five or fewer for 95 %)."""
    skipped = _left_out(len(values), confidence)
    if skipped is None:
        return -inf, inf
    ordered = np.sort(values)
    return float(ordered[skipped]), float(ordered[len(ordered) - 1 - skipped])


def series_interval(values: Array) -> tuple[float, float]:
    """The 95 % interval of the median of a series that was ended by `timed_enough`."""
    return median_interval(values, LOOK_CONFIDENCE)


def timed_enough(values: Array, interval: float, most: int) -> bool:
    """True if a series ends here: at its last round, or at one of its `looks` if half its interval is at most
    the share `interval` of its median."""
    ends = looks(most)
    if len(values) >= ends[-1]:
        return True
    if len(values) not in ends:
        return False
    low, high = series_interval(values)
    return (high - low) / 2 <= interval * float(np.median(values))


@cache
def looks(most: int) -> tuple[int, ...]:
    """The numbers of rounds at which a series of at most `most` rounds may end: 8, 16, 32, … and the last
    number, which is at least 8, since fewer rounds have no interval."""
    ends = [FEWEST_ROUNDS]
    while 2 * ends[-1] < most:
        ends.append(2 * ends[-1])
    return (*ends, most) if most > FEWEST_ROUNDS else tuple(ends)


@cache
def typical_half_width(count: int) -> float:
    """Half the interval of a series of `count` rounds, in standard deviations of normal noise (Blom's
    approximation of expected order statistics); infinite for too few rounds."""
    skipped = _left_out(count, LOOK_CONFIDENCE)
    if skipped is None:
        return inf
    return NormalDist().inv_cdf((count - skipped - 0.375) / (count + 0.25))


def standard_error(half_width: float, count: int) -> float:
    """The standard error of a median of `count` rounds, from half its interval."""
    return half_width / typical_half_width(count) * sqrt(pi / 2 / count)


@cache
def _left_out(count: int, confidence: float) -> int | None:
    """The number k of values that the interval leaves out at either end: it misses the median with the
    probability 2 P(Bin(n, ½) ≤ k). None if even the extremes do not reach the confidence."""
    left_out, below, ways = None, 0, 1
    for skipped in range(count // 2):
        below += ways
        if 2 * below / 2**count > 1 - confidence:
            break
        left_out = skipped
        ways = ways * (count - skipped) // (skipped + 1)
    return left_out
