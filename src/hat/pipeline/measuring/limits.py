"""A run's constraints as limits on costs: their predictions, their units, and the figures of measurements."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from hat.architecture import AnyArchitecture, Architecture
from hat.hardware.measuring.verdict import REPEATS, Figure
from hat.pipeline.measuring.apart import measure_apart, read_figures
from hat.pipeline.measuring.series import largest_latency, measure_on_device
from hat.pipeline.steps.context import Context
from hat.progress import Progress
from hat.recipe.constraint import Constraint, Limit
from hat.search import LATENCY, CostLimit, Objective, Trial
from hat.search.problem import Predict


def cost_limits(context: Context, constraint: Constraint) -> tuple[CostLimit, ...]:
    """The constraint for a search: every limited cost with its prediction."""
    return tuple(
        CostLimit(limit.objective, _prediction(context, limit.objective), _bound(context, limit))
        for limit in constraint.limits
    )


def try_on_device(
    context: Context,
    constraint: Constraint,
    architectures: Sequence[Architecture],
    *,
    folder: Path,
    progress: Progress,
) -> list[Trial]:
    """Measure the limited costs that are not exact, in a series named after the folder."""
    trials = [Trial({}) for _ in architectures]
    for limit in constraint.limits:
        name = limit.objective.name
        if limit.objective is LATENCY:
            models = [context.model_config(architecture) for architecture in architectures]
            measured = measure_on_device(context, models, folder=folder, progress=progress, seed=1)
            figures = [latency_figure(limit, vars(one)) for one in measured]
            trials = [replace(trial, measurement=one) for trial, one in zip(trials, measured, strict=True)]
        elif limit.objective.measure:
            repeated = measure_apart(
                context,
                limit.objective,
                architectures,
                count=REPEATS,
                path=folder / f"{name}.json",
                progress=progress,
            )
            figures = [Figure.of_repeats(values, _bound(context, limit)) for values in repeated]
        else:
            continue
        trials = [
            replace(trial, figures={**trial.figures, name: figure})
            for trial, figure in zip(trials, figures, strict=True)
        ]
    return trials


def latency_figure(limit: Limit, measurement: Mapping[str, Any]) -> Figure:
    """The latency in a measurement; a relative limit is that of the same rounds."""
    value, low, high = (measurement[name] for name in ("latency_ms", "low_ms", "high_ms"))
    return Figure(value, low, high, limit.of(measurement["reference_ms"]))


def exact_figure(context: Context, limit: Limit, architecture: AnyArchitecture) -> Figure:
    """The figure of an objective that is counted."""
    value = _counted(context, limit.objective, architecture)
    return Figure(value, value, value, _bound(context, limit))


def _bound(context: Context, limit: Limit) -> float:
    return limit.of(_largest(context, limit.objective)) if limit.relative else limit.value


def _largest(context: Context, objective: Objective) -> float:
    """The cost of the largest SubTransformer."""
    if objective is LATENCY:
        return largest_latency(context)
    if objective.count:
        return _counted(context, objective, context.space.largest())
    return median(read_figures(context, objective)[0][1])


def _counted(context: Context, objective: Objective, architecture: AnyArchitecture) -> float:
    assert objective.count is not None
    return objective.count(context.model_config(architecture), context.device.precision)


def _prediction(context: Context, objective: Objective) -> Predict:
    count = objective.count
    if count is None:
        return context.predictor(objective).predict
    precision, largest = context.device.precision, context.model_config(context.space.largest())
    return lambda architectures: np.array(
        [count(replace(largest, architecture=one), precision) for one in architectures], float
    )
