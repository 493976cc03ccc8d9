"""train: the final weights of all models that are compared, each exported as an artefact."""

from collections.abc import Iterator

from hat.pipeline.context import Context
from hat.pipeline.models import final_models, teacher_model
from hat.pipeline.steps import Step
from hat.pipeline.training import train_step


def steps(context: Context) -> Iterator[Step]:
    """One step for each model, so another baseline trains nothing else again."""
    teacher = teacher_model(context)
    for model in final_models(context):
        if model.twin is None and model != teacher:
            yield train_step(context, model)
