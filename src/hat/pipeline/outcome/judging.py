"""The verdicts on constraints: for each cost of a model one series of measurements decides, and the same
series is shown."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from hat.architecture import AnyArchitecture, Architecture
from hat.hardware.measuring.verdict import Figure
from hat.pipeline.measuring.limits import exact_figure, latency_figure
from hat.pipeline.measuring.search_record import read_search
from hat.pipeline.models.final import final_models
from hat.pipeline.outcome.comparison import read_measurements
from hat.pipeline.steps.context import Context
from hat.pipeline.steps.results import FOUND, LATENCY_STEP
from hat.recipe.constraint import Constraint, Limit
from hat.report import judgement_sentences
from hat.search.objectives import LATENCY

SEARCH, ROUNDS, EXACT = "the search's verification", "the rounds of all final models", "its weights' shapes"


def constraint_lines(context: Context) -> list[str]:
    """One line for each constraint that has been searched under: its verdicts. The timing of all final models
    decides on the latency if that was done, the search's verification before."""
    return [
        f"{constraint.name}: {_verdicts(context, constraint)}"
        for constraint in context.recipe.search.parsed_constraints
        if f"search/{constraint.name}" in context.outcomes
    ]


def _verdicts(context: Context, constraint: Constraint) -> str:
    path = context.outcome(f"search/{constraint.name}").folder / FOUND
    result, latency = read_search(path), None
    if LATENCY_STEP in context.outcomes:
        (model,) = (one for one in final_models(context) if one.name == constraint.name)
        latency = read_measurements(context)[model.files]
    architecture = Architecture.from_dict(result["architecture"], str(path))
    decided = judgements(
        context, constraint, architecture=architecture, verification=result["verification"], latency=latency
    )
    sentences = zip(judgement_sentences(decided), decided, strict=True)
    return "; ".join(f"{sentence}, by {one['by']}" for sentence, one in sentences)


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
