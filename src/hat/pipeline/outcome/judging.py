"""The verdicts on constraints: for each cost of a model one series of measurements decides, and the same
series is shown."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from hat.hardware.measuring.verdict import Figure
from hat.pipeline.measuring.limits import exact_figure, latency_figure
from hat.pipeline.models.final import FinalModel, final_models, found_model
from hat.pipeline.outcome.comparison import read_measurements
from hat.pipeline.steps.context import Context
from hat.pipeline.steps.results import LATENCY_STEP
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
    model, latency = found_model(context, constraint), None
    if LATENCY_STEP in context.outcomes:
        (model,) = (one for one in final_models(context) if one.name == constraint.name)
        latency = read_measurements(context)[model.files]
    verdicts = judgements(context, constraint, model, latency)
    sentences = zip(judgement_sentences(verdicts), verdicts, strict=True)
    return "; ".join(f"{sentence}, by {verdict['by']}" for sentence, verdict in sentences)


def judgements(
    context: Context, constraint: Constraint, model: FinalModel, latency: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """The verdicts on the limits of a constraint, in the form of hat.report.constraints.

    Costs that the search's verification did not measure are left out. `latency`: a later measurement that
    decides on the latency instead. A limit relative to the largest SubTransformer's latency is judged by the
    ratio in the same rounds.
    """
    verification = model.search["verification"]
    series = ROUNDS if latency else SEARCH
    measured = latency or verification["latency"]
    verdicts = []
    for limit in constraint.limits:
        name = limit.objective.name
        if limit.objective is LATENCY and measured:
            verdicts.append(_judgement(context, limit, latency_figure(limit, measured), series))
        elif limit.objective.count:
            verdicts.append(
                _judgement(context, limit, exact_figure(context, limit, model.architecture), EXACT)
            )
        elif name in verification["figures"]:
            verdicts.append(_judgement(context, limit, Figure(**verification["figures"][name]), SEARCH))
    return verdicts


def _judgement(context: Context, limit: Limit, figure: Figure, series: str) -> dict[str, Any]:
    # A predicted latency that is compared with itself verifies nothing.
    predicted = context.published_latencies and limit.objective is LATENCY
    verdict = None if predicted else figure.verdict
    names = {"cost": limit.objective.name, "text": limit.text}
    return {**names, **asdict(figure), "verdict": verdict, "by": series}
