"""fit: the latency predictor, and how well it predicts."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from hat.files import write_json
from hat.hardware.measuring import sampling
from hat.pipeline.context import Context
from hat.pipeline.prediction import PREDICTOR
from hat.pipeline.stages.measure import PUBLISHED, measured_digest, read_latencies
from hat.pipeline.steps import Step
from hat.pipeline.versions import VERSIONS
from hat.predictor import LatencyPredictor
from hat.predictor.cross_validation import group_rows
from hat.predictor.csv_rows import write_rows
from hat.predictor.published_sets import read_latency_csv
from hat.progress import Progress

NAME = "fit"
PREDICTIONS = "predictions.csv"


def steps(context: Context) -> Iterator[Step]:
    """One step, of a second or so."""
    inputs = {
        "seed": context.recipe.seed,
        "results": {"measured latencies": measured_digest(context)},
    }

    yield Step(NAME, inputs, (PREDICTOR, PREDICTIONS), partial(_run, context), VERSIONS[NAME])


def _run(context: Context, folder: Path, progress: Progress) -> None:
    seed = context.recipe.seed
    if context.published_latencies:
        published = read_latency_csv(context.outcome("measure").folder / PUBLISHED)
        measured, averages = published.latency_ms, published.averages
        predictor = LatencyPredictor.fit(averages, measured, seed, features="averages")
        # Architectures that their averages do not tell apart are one.
        group = group_rows(averages)
        judged = (np.bincount(group, measured) / np.bincount(group)).tolist()
    else:
        found = read_latencies(context)
        judged = [one.measurement.latency_ms for one in found if one.judged]
        predictor = sampling.fit(found, seed)
    write_json(folder / PREDICTOR, predictor.to_dict())
    _write_predictions(judged, predictor, folder / PREDICTIONS)
    progress(1, 1, f"held-out error {predictor.report.mape:.1f}%")


def _write_predictions(measured: Sequence[float], predictor: LatencyPredictor, path: Path) -> None:
    """A table to plot: what was measured, and what was predicted without it."""
    pairs = zip(measured, predictor.ratios, strict=True)
    write_rows(path, [("measured_ms", "predicted_ms"), *((ms, ms / ratio) for ms, ratio in pairs)])
