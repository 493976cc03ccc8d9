"""fit: the latency predictor."""

from collections.abc import Iterator
from pathlib import Path

from hat.files import read_json, write_json
from hat.hardware import LatencyPredictor, sampling
from hat.pipeline.context import Context
from hat.pipeline.stages.measure import LATENCIES, read_latencies
from hat.pipeline.steps import Step
from hat.progress import Progress

NAME = "fit"
PREDICTOR = "predictor.json"


def steps(context: Context) -> Iterator[Step]:
    """One step, of a second or so."""
    measured = context.outcome("measure")

    def run(folder: Path, progress: Progress) -> None:
        predictor = sampling.fit(read_latencies(context), context.recipe.seed)
        write_json(folder / PREDICTOR, predictor.to_dict())
        report = predictor.report
        progress(1, 1, f"held-out error {report.mape:.1f}% (linear {report.linear_mape:.1f}%)")

    inputs = {
        "seed": context.recipe.seed,
        "results": {"measured latencies": measured.digest_of(LATENCIES)},
    }
    yield Step(NAME, inputs, (PREDICTOR,), run)


def load_predictor(context: Context) -> LatencyPredictor:
    """The fitted predictor."""
    path = context.outcome(NAME).folder / PREDICTOR
    return LatencyPredictor.from_dict(read_json(path), str(path))
