"""The verdict on a limit, from a figure with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from statistics import median

import numpy as np

from hat.intervals import median_interval


class Verdict(StrEnum):
    """`MET`: the whole 95 % interval is within the limit. `NOT_MET`: the figure is above the limit.
    `NOT_SHOWN`: the figure is within the limit, but its interval reaches above it."""

    MET = "met"
    NOT_MET = "not met"
    NOT_SHOWN = "not shown"


def verdict(figure: float, high: float, limit: float) -> Verdict:
    """The verdict on a figure, whose interval ends at `high`, from a measurement that took no part in
    choosing the measured model."""
    if high <= limit:
        return Verdict.MET
    return Verdict.NOT_MET if figure > limit else Verdict.NOT_SHOWN


@dataclass(frozen=True)
class Figure:
    """A cost of one model with the ends of its 95 % interval, which are equal if it is exact, and its limit.

    The limit is that of the same series of measurements: a share of the largest model's cost depends on how
    fast the device was then.
    """

    value: float
    low: float
    high: float
    limit: float

    @classmethod
    def of_repeats(cls, values: Sequence[float], limit: float) -> "Figure":
        """The median of independent measurements. Its interval is from 0 to infinity for fewer than six."""
        low, high = median_interval(np.asarray(values, float))
        return cls(median(values), max(low, 0.0), high, limit)

    @property
    def verdict(self) -> Verdict:
        """The verdict on the limit, if the measurement took no part in choosing the model."""
        return verdict(self.value, self.high, self.limit)

    @property
    def share(self) -> float:
        """The upper end of the interval as a share of the limit."""
        return self.high / self.limit


# As many repeated measurements of a model as its interval needs.
REPEATS = next(count for count in range(1, 100) if median_interval(np.arange(count, dtype=float))[1] < inf)
