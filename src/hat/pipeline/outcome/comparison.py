"""The final models compared: latencies of the same rounds, and the results of the evaluate stage, read."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from hat.files import read_json, write_json
from hat.hardware import MeasurementStore
from hat.pipeline.measuring.series import measure_on_device, measurement_record, verifying_protocol
from hat.pipeline.models.final import FinalModel
from hat.pipeline.steps.context import Context
from hat.pipeline.steps.folder import MEASUREMENTS
from hat.pipeline.steps.results import BEAM, DEPLOYED, FINAL_LATENCIES, LATENCY_STEP, SCORES
from hat.progress import Progress


def deployed_artefact(context: Context, model: FinalModel) -> Path:
    """An evaluated model as the device runs it."""
    return context.outcome(model.score_step).folder / DEPLOYED


def read_scores(context: Context, model: FinalModel) -> dict[str, Any]:
    """The scores of an evaluated model."""
    return dict(read_json(context.outcome(model.score_step).folder / SCORES))


def timed_beam(context: Context, model: FinalModel) -> int:
    """The beam with which an evaluated model is timed: the one chosen for it, or the device's."""
    if context.recipe.evaluate.tune_beam is None:
        return context.recipe.device.beam
    return int(read_scores(context, model)[BEAM])


def read_measurements(context: Context) -> dict[str, Any]:
    """Model name (not of twins) → its measurement and peak memory."""
    return dict(read_json(context.outcome(LATENCY_STEP).folder / FINAL_LATENCIES))


def read_conditions(context: Context) -> dict[str, Any]:
    """Machine and protocol of those measurements: without them they mean nothing."""
    folder = context.outcome(LATENCY_STEP).folder
    with closing(MeasurementStore(context.root / MEASUREMENTS)) as store:
        environment = store.environment(folder.relative_to(context.root).as_posix(), context.device.name)
    protocol = verifying_protocol(context)
    return {"environment": environment, "protocol": protocol.to_dict()}


def measure_models(context: Context, models: Sequence[FinalModel], folder: Path, progress: Progress) -> None:
    """Time models, those of one engine and beam in the same rounds, and write their measurements."""
    rows: dict[str, Any] = {}
    conditions = [(context.engine_for(model.architecture), timed_beam(context, model)) for model in models]
    for engine, beam in dict.fromkeys(conditions):
        chosen = [model for model, its in zip(models, conditions, strict=True) if its == (engine, beam)]
        configs = [model.config(context) for model in chosen]
        measurements = measure_on_device(
            context, configs, folder=folder, progress=progress, seed=3, engine=engine, beam=beam
        )
        protocol = verifying_protocol(context, engine, beam)
        with context.open_bench() as bench:
            for model, measurement in zip(chosen, measurements, strict=True):
                rows[model.name] = {
                    **measurement_record(measurement),
                    "engine": engine,
                    "peak_memory_bytes": bench.peak_memory(deployed_artefact(context, model), protocol),
                }
    write_json(folder / FINAL_LATENCIES, {model.name: rows[model.name] for model in models})
