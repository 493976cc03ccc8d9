"""The verdict on a limit, from a measurement with its interval."""

from enum import StrEnum


class Verdict(StrEnum):
    """`MET`: the whole 95 % interval is within the limit. `NOT_MET`: the figure is above the limit.
    `NOT_SHOWN`: the figure is within the limit, but its interval reaches above it."""

    MET = "met"
    NOT_MET = "not met"
    NOT_SHOWN = "not shown"


def verdict(figure: float, high: float, limit: float) -> Verdict:
    """The verdict on a figure, whose interval ends at `high`, from a measurement that took no part in
    choosing what was measured."""
    if high <= limit:
        return Verdict.MET
    return Verdict.NOT_MET if figure > limit else Verdict.NOT_SHOWN
