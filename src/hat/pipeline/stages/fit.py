"""fit: the predictors of latency and other measured costs, and their held-out errors."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import compress
from pathlib import Path
from statistics import median

import numpy as np

from hat.files import write_json
from hat.hardware.measuring import sampling
from hat.pipeline.measuring.apart import measured_objectives, read_figures
from hat.pipeline.measuring.series import measured_digest, read_latencies
from hat.pipeline.steps.context import Context, fit_step
from hat.pipeline.steps.results import FIGURES, FIT, MEASURE, PREDICTIONS, PREDICTOR, PUBLISHED
from hat.pipeline.steps.step import Step
from hat.predictor import CostPredictor
from hat.predictor.cross_validation import group_rows
from hat.predictor.csv_rows import write_rows
from hat.predictor.published_sets import read_latency_csv
from hat.progress import Progress
from hat.search import Objective


def steps(context: Context) -> Iterator[Step]:
    """A step for each measured cost, of a second or so."""
    inputs = {"seed": context.recipe.seed, "results": {"measured latencies": measured_digest(context)}}
    yield Step(FIT, inputs, (PREDICTOR, PREDICTIONS), partial(_fit_latencies, context))
    for objective in measured_objectives(context):
        digest = context.outcome(f"{MEASURE}/{objective.name}").digest_of(FIGURES)
        inputs = {"seed": context.recipe.seed, "results": {f"measured {objective.name}": digest}}
        run = partial(_fit_figures, context, objective)
        yield Step(fit_step(objective), inputs, (PREDICTOR, PREDICTIONS), run)


def _fit_latencies(context: Context, folder: Path, progress: Progress) -> None:
    seed = context.recipe.seed
    if context.published_latencies:
        published = read_latency_csv(context.outcome(MEASURE).folder / PUBLISHED)
        measured, averages = published.latency_ms, published.averages
        predictor = CostPredictor.fit(averages, measured, seed=seed, features="averages")
        # Architectures that their averages do not tell apart are one.
        group = group_rows(averages)
        judged = (np.bincount(group, measured) / np.bincount(group)).tolist()
    else:
        samples = read_latencies(context)
        judged = [one.measurement.latency_ms for one in samples if one.judged]
        predictor = sampling.fit(samples, seed)
    _save(predictor, judged, folder, progress, unit="_ms")


def _fit_figures(context: Context, objective: Objective, folder: Path, progress: Progress) -> None:
    architectures, values, judged = zip(*read_figures(context, objective), strict=True)
    figures = [median(repeated) for repeated in values]
    predictor = CostPredictor.fit(
        architectures, figures, seed=context.recipe.seed, judged=judged, features=objective.features
    )
    _save(predictor, list(compress(figures, judged)), folder, progress)


def _save(
    predictor: CostPredictor, measured: Sequence[float], folder: Path, progress: Progress, *, unit: str = ""
) -> None:
    """The predictor, and a table to plot: measured figures, and those predicted without them."""
    write_json(folder / PREDICTOR, predictor.to_dict())
    rows = ((figure, figure / ratio) for figure, ratio in zip(measured, predictor.ratios, strict=True))
    write_rows(folder / PREDICTIONS, [(f"measured{unit}", f"predicted{unit}"), *rows])
    progress(1, 1, f"held-out error {predictor.report.mape:.1f}%")
