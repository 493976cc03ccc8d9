"""Whether a measurement shows that a limit is met."""

from enum import StrEnum


class Verdict(StrEnum):
    """`MET`: the whole 95 % interval is within the limit. `NOT_MET`: the figure is above it. `NOT_SHOWN`: the
    figure is within it, but its interval reaches above."""

    MET = "met"
    NOT_MET = "not met"
    NOT_SHOWN = "not shown"


def verdict(figure: float, high: float, limit: float) -> Verdict:
    """The verdict on a figure, `high` being the upper end of its interval, that took no part in choosing what
    was measured."""
    if high <= limit:
        return Verdict.MET
    return Verdict.NOT_MET if figure > limit else Verdict.NOT_SHOWN
