"""A latency constraint to try next, within the reach of the device."""

from collections.abc import Collection
from math import ceil

from hat.pipeline.measuring.series import largest_latency
from hat.pipeline.steps.context import Context

# Predicted and measured latencies differ by some per cent, and near the fastest there is little to choose
# from.
MARGIN = 1.1
STEP = 5  # per cent


def suggested_constraint(context: Context, measured_share: float) -> str | None:
    """A constraint in % of the largest SubTransformer's latency that the recipe does not have yet; None if
    none is left, or all constraints of the recipe limit other costs too.

    `measured_share`: the smallest SubTransformer's latency as a share of the largest's, in the final series.
    The search uses predictions, so that the predicted and the measured latency both have to be within the
    constraint.
    """
    constraints = [one for one in context.recipe.search.parsed_constraints if one.is_latency]
    if not constraints:
        return None
    largest = largest_latency(context)
    predicted_share = float(context.predictor().predict([context.space.smallest()])[0]) / largest
    tried = [100 * one.limits[0].of(largest) / largest for one in constraints]
    return suggest(100 * max(measured_share, predicted_share), tried)


def suggest(least: float, tried: Collection[float]) -> str | None:
    """A multiple of 5 % clearly above `least` (%): half-way between it and the tightest of the `tried` ones
    (%) if there is room, or else the first above them."""
    lowest = STEP * ceil(round(MARGIN * least / STEP, 6))
    tightest = min(tried)
    halfway = STEP * ceil((lowest + tightest) / 2 / STEP)
    choices = [halfway, lowest, *range(lowest, 100, STEP)]
    free = [share for share in choices if lowest <= share < 100 and share not in tried]
    tighter = [share for share in free if share < tightest]
    chosen = tighter or [share for share in free if share > tightest]
    return f"{chosen[0]}%" if chosen else None
