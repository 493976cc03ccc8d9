"""measure: costs of SubTransformers on the device, for the predictors to learn from."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from hat.errors import UserError
from hat.files import read_text, write_json, write_text
from hat.hardware.measuring.sampling import measure_until_predictable, noise_floor
from hat.pipeline.measuring.apart import measure_samples, measured_objectives
from hat.pipeline.measuring.series import (
    VERIFYING,
    VERIFYING_ONLY,
    device_inputs,
    make_protocol,
    measured_digest,
    measurement_record,
    open_series,
)
from hat.pipeline.steps.context import Context
from hat.pipeline.steps.results import FIGURES, MEASURE, MEASURED, PUBLISHED
from hat.pipeline.steps.step import Step
from hat.predictor import CostPredictor, read_latency_csv
from hat.progress import Progress


def steps(context: Context) -> Iterator[Step]:
    """A step for the latencies, and one for each other limited cost that the device measures. The weights are
    random, so that no training is needed. Published latencies are only copied."""
    if context.published_latencies:
        inputs: dict[str, Any] = {"latencies": context.text_digest(context.published_latencies)}
        yield Step(MEASURE, inputs, (PUBLISHED,), partial(_copy, context.published_latencies))
        return
    inputs = {
        "seed": context.recipe.seed,
        "space": context.space.to_dict(),
        "measure": context.recipe.measure.model_dump(mode="json", exclude=VERIFYING_ONLY),
        **device_inputs(context),
    }
    yield Step(MEASURE, inputs, (MEASURED,), partial(_measure_latencies, context))
    for objective in measured_objectives(context):
        inputs = {**device_inputs(context), "seed": context.recipe.seed, "space": context.space.to_dict()}
        inputs["measure"] = context.recipe.measure.model_dump(mode="json", include=VERIFYING)
        inputs["results"] |= {"measured latencies": measured_digest(context)}
        run = partial(measure_samples, context, objective)
        yield Step(f"{MEASURE}/{objective.name}", inputs, (FIGURES,), run)


def _copy(published: Path, folder: Path, progress: Progress) -> None:
    latencies = read_latency_csv(published)
    # Latencies that no predictor can be fitted to are refused here, before the settings that name them are
    # kept.
    try:
        CostPredictor.fit(latencies.averages, latencies.latency_ms, seed=0, features="averages")
    except UserError as error:
        raise UserError(f"{published}: {error}") from error
    write_text(folder / PUBLISHED, read_text(published))
    progress(1, 1, f"{published} copied")


def _measure_latencies(context: Context, folder: Path, progress: Progress) -> None:
    settings = context.recipe.measure
    automatic = settings.samples == "auto"
    protocol = make_protocol(context, settings.rounds, settings.interval)
    with open_series(context, folder, protocol) as (series, bench):
        sampled = measure_until_predictable(
            context.space,
            context.model_config,
            series,
            bench,
            most=settings.most if automatic else int(settings.samples),
            target_mape=settings.target if automatic else None,
            seed=context.recipe.seed,
            progress=progress,
        )
    rows = [{**measurement_record(one.measurement), "judged": one.judged} for one in sampled]
    write_json(folder / MEASURED, {"noise_floor": noise_floor(sampled), "measurements": rows})
