"""evaluate: the final models scored on the test text and timed together."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from hat.pipeline.measuring.series import VERIFYING, device_inputs
from hat.pipeline.models.final import FinalModel, final_models
from hat.pipeline.models.scoring import score_step
from hat.pipeline.outcome.comparison import measure_models, timed_beam
from hat.pipeline.steps.context import Context
from hat.pipeline.steps.results import FINAL_LATENCIES, LATENCY_STEP
from hat.pipeline.steps.step import Step


def steps(context: Context) -> Iterator[Step]:
    """One step deploys and scores each model, and one times all of them in the same rounds."""
    models = list(final_models(context))
    distinct = [model for model in models if not model.twin]
    for model in distinct:
        yield score_step(context, model)
    inputs = {
        **device_inputs(context),
        "seed": context.recipe.seed,
        "space": context.space.to_dict(),
        "measure": context.recipe.measure.model_dump(mode="json", include=VERIFYING),
        "models": {model.name: _describe(context, model) for model in models},
    }
    yield Step(LATENCY_STEP, inputs, (FINAL_LATENCIES,), partial(measure_models, context, distinct))


def _describe(context: Context, model: FinalModel) -> dict[str, Any]:
    described: dict[str, Any] = {
        "architecture": model.architecture.to_dict(),
        "baseline": not model.elastic,
        "twin": model.twin,
    }
    engine, beam = context.engine_for(model.architecture), timed_beam(context, model)
    if engine != context.device.engine:
        described["engine"] = engine
    if beam != context.recipe.device.beam:
        described["beam"] = beam
    return described
