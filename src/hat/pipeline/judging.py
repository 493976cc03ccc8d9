"""The verdicts on constraints: for each model one series of rounds decides, and the same series is shown."""

from collections.abc import Mapping
from typing import Any

from hat.hardware.measuring.verdict import verdict
from hat.pipeline.context import Context
from hat.recipe.recipe import Constraint


def judgement(context: Context, constraint: Constraint, measurement: Mapping[str, Any]) -> dict[str, Any]:
    """The verdict of a measurement on a constraint, in the form of hat.report.constraints: a relative
    constraint is judged by the ratio to the largest SubTransformer in the same rounds."""
    limit = constraint.milliseconds(measurement["reference_ms"])
    latency, low, high = (measurement[name] for name in ("latency_ms", "low_ms", "high_ms"))
    return {
        "text": constraint.text,
        "milliseconds": limit,
        "latency_ms": latency,
        "low_ms": low,
        "high_ms": high,
        # A prediction that is compared with itself verifies nothing.
        "verdict": None if context.published_latencies else verdict(latency, high, limit),
    }
