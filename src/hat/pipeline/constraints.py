"""The verdicts on a run's constraints, one line each."""

from hat.architecture import Architecture
from hat.pipeline.comparison import read_measurements
from hat.pipeline.context import Context
from hat.pipeline.judging import judgements
from hat.pipeline.models import final_models
from hat.pipeline.results import FOUND, LATENCY_STEP
from hat.pipeline.search_record import read_search
from hat.recipe.constraint import Constraint
from hat.report import judgement_sentences


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
        context,
        constraint,
        architecture=architecture,
        verification=result["verification"],
        latency=latency,
    )
    sentences = zip(judgement_sentences(decided), decided, strict=True)
    return "; ".join(f"{sentence}, by {one['by']}" for sentence, one in sentences)
