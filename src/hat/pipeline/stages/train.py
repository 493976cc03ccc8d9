"""train: the final weights of all models that are compared, each exported as an artefact."""

from collections.abc import Iterator

from hat.pipeline.models.final import final_models, teacher_model
from hat.pipeline.models.training import train_step
from hat.pipeline.steps.context import Context
from hat.pipeline.steps.step import Step


def steps(context: Context) -> Iterator[Step]:
    """One step for each model, so another baseline trains nothing else again."""
    teacher = teacher_model(context)
    for model in final_models(context):
        if model.twin is None and model != teacher:
            yield train_step(context, model)
