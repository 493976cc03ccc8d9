"""Whether a measurement shows that a latency constraint is met."""

from enum import StrEnum

from hat.hardware.measurement import Measurement


class Verdict(StrEnum):
    """`MET`: the whole 95 % interval is within the limit. `NOT_MET`: the latency is above it. `NOT_SHOWN`:
    the latency is within it, but the interval reaches above."""

    MET = "met"
    NOT_MET = "not met"
    NOT_SHOWN = "not shown"


def verdict(measurement: Measurement, limit_ms: float) -> Verdict:
    """What one measurement, which took no part in choosing its model, says of a limit."""
    if measurement.high_ms <= limit_ms:
        return Verdict.MET
    return Verdict.NOT_MET if measurement.latency_ms > limit_ms else Verdict.NOT_SHOWN
