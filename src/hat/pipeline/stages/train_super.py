"""train-super: one SuperTransformer, whose weights every SubTransformer borrows."""

from collections.abc import Iterator
from pathlib import Path

from hat.file_names import WEIGHTS
from hat.pipeline.models.training import new_super, seed_and_threads, training_inputs
from hat.pipeline.steps.context import Context
from hat.pipeline.steps.results import PREPARE, STORES, TRAIN_SUPER, TRAINING
from hat.pipeline.steps.step import Step
from hat.progress import Progress, silent
from hat.training import SAMPLINGS, SuperTrainee, train


def steps(context: Context) -> Iterator[Step]:
    """One step; it depends on training and validation text, not on the test set."""
    recipe = context.recipe
    inputs = {
        "seed": recipe.seed,
        "super_training": training_inputs(recipe.super_training),
        "space": context.space.to_dict(),
        "data": {"vocabulary": {"joint": recipe.data.vocabulary.joint}},
        **context.norm_inputs,
        "results": {"prepared text": context.outcome(PREPARE).digest_of(*STORES)},
    }

    def run(folder: Path, progress: Progress = silent) -> None:
        seed_and_threads(recipe.seed)
        settings = recipe.super_training
        network = new_super(context, settings)
        sampling = SAMPLINGS[settings.sampling](context.space, recipe.seed, settings.draws)
        train(
            SuperTrainee(network, sampling, context.space.smallest()),
            context.stores(PREPARE),
            settings=settings,
            folder=folder,
            seed=recipe.seed,
            progress=progress,
            say=context.say,
        )

    yield Step(TRAIN_SUPER, inputs, (WEIGHTS, TRAINING), run, help=run)
