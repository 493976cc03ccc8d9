"""The verdicts on constraints: for each cost of a model one series of measurements decides, and the same
series is shown."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from hat.architecture import AnyArchitecture
from hat.hardware.measuring.verdict import Figure
from hat.pipeline.context import Context
from hat.pipeline.limits import exact_figure, latency_figure
from hat.recipe.constraint import Constraint, Limit
from hat.search.objectives import LATENCY

SEARCH, ROUNDS, EXACT = "the search's verification", "the rounds of all final models", "its weights' shapes"


def judgements(
    context: Context,
    constraint: Constraint,
    *,
    architecture: AnyArchitecture,
    verification: Mapping[str, Any],
    latency: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """The verdicts on the limits of a constraint, in the form of hat.report.constraints.

    `verification`: the search's; costs that it did not measure are left out. `latency`: a later measurement
    that decides on the latency instead. A limit relative to the largest SubTransformer's latency is judged by
    the ratio in the same rounds.
    """
    series = ROUNDS if latency else SEARCH
    measured = latency or verification["latency"]
    verdicts = []
    for limit in constraint.limits:
        name = limit.objective.name
        if limit.objective is LATENCY and measured:
            verdicts.append(_judgement(context, limit, latency_figure(limit, measured), series))
        elif limit.objective.count:
            verdicts.append(_judgement(context, limit, exact_figure(context, limit, architecture), EXACT))
        elif name in verification["figures"]:
            verdicts.append(_judgement(context, limit, Figure(**verification["figures"][name]), SEARCH))
    return verdicts


def _judgement(context: Context, limit: Limit, figure: Figure, series: str) -> dict[str, Any]:
    # A predicted latency that is compared with itself verifies nothing.
    predicted = context.published_latencies and limit.objective is LATENCY
    return {
        "cost": limit.objective.name,
        "text": limit.text,
        **asdict(figure),
        "verdict": None if predicted else figure.verdict,
        "by": series,
    }
