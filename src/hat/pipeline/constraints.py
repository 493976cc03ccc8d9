"""The verdicts on a run's constraints, one line each."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hat.files import read_json
from hat.pipeline.context import Context
from hat.pipeline.judging import judgement
from hat.pipeline.runner import finished
from hat.pipeline.stages.evaluate import LATENCY_STEP, read_measurements
from hat.pipeline.stages.search import FOUND
from hat.pipeline.stages.train import final_models
from hat.recipe.recipe import Constraint, Recipe
from hat.report import judgement_sentence


def constraint_lines(recipe: Recipe, root: Path) -> list[str]:
    """One line for each constraint that has been searched under: its verdict by the timing of all final
    models if that was done, and by the search's verification before."""
    context = finished(recipe, root)
    return [
        f"{constraint.name}: {judgement_sentence(judgement(context, constraint, measurement))}, by {series}"
        for constraint in map(Constraint.parse, recipe.search.constraints)
        for measurement, series in _deciding(context, constraint)
    ]


def _deciding(context: Context, constraint: Constraint) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The measurement that decides, if there is one yet, and the name of its series."""
    if LATENCY_STEP in context.outcomes:
        (model,) = (one for one in final_models(context) if one.name == constraint.name)
        measured = read_measurements(context)[model.twin or model.name]
        yield measured, "the rounds of all final models"
    elif f"search/{constraint.name}" in context.outcomes:
        found = read_json(context.outcome(f"search/{constraint.name}").folder / FOUND)
        yield found["verification"], "the search's verification"
