"""A latency constraint to try next, which the device can reach."""

from collections.abc import Collection
from math import ceil

from hat.pipeline.context import Context
from hat.pipeline.recipe import Constraint
from hat.pipeline.stages.measure import largest_latency

# Predicted and measured latencies differ by some per cent, and the very fastest leaves nothing to choose.
MARGIN = 1.1
STEP = 5  # per cent


def suggested_constraint(context: Context, measured_share: float) -> str | None:
    """A constraint in % of the largest SubTransformer's latency that is not one of the recipe's; None
    where there is none left.

    `measured_share`: the smallest SubTransformer's latency as a share of the largest's, in the final
    series. The search goes by the prediction, so both have to be within the constraint.
    """
    largest = largest_latency(context)
    predicted_share = float(context.predictor().predict([context.space.smallest()])[0]) / largest
    tried = [
        100 * Constraint.parse(text).milliseconds(largest) / largest
        for text in context.recipe.search.constraints
    ]
    return suggest(100 * max(measured_share, predicted_share), tried)


def suggest(least: float, tried: Collection[float]) -> str | None:
    """A multiple of 5 % that is well above `least` (%): half-way from there to the tightest of those
    `tried` (%) if there is room, or else the first above them."""
    lowest = STEP * ceil(round(MARGIN * least / STEP, 6))
    tightest = min(tried)
    halfway = STEP * ceil((lowest + tightest) / 2 / STEP)
    choices = [halfway, lowest, *range(lowest, 100, STEP)]
    free = [share for share in choices if lowest <= share < 100 and share not in tried]
    tighter = [share for share in free if share < tightest]
    chosen = tighter or [share for share in free if share > tightest]
    return f"{chosen[0]}%" if chosen else None
