"""train-super: one SuperTransformer, whose weights every SubTransformer borrows."""

from collections.abc import Iterator
from pathlib import Path

from hat.file_names import WEIGHTS
from hat.pipeline.models.training import new_super, seed_and_threads, training_inputs
from hat.pipeline.steps.context import Context
from hat.pipeline.steps.results import PREPARE, STORES, TRAIN_SUPER, TRAINING
from hat.pipeline.steps.step import Step
from hat.progress import Progress
from hat.training import SuperTrainee, UniformSampling, train


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

    def run(folder: Path, progress: Progress) -> None:
        seed_and_threads(recipe.seed)
        network = new_super(context, recipe.super_training)
        train(
            SuperTrainee(network, UniformSampling(context.space, recipe.seed), context.space.smallest()),
            context.stores(PREPARE),
            settings=recipe.super_training,
            folder=folder,
            seed=recipe.seed,
            progress=progress,
        )

    yield Step(TRAIN_SUPER, inputs, (WEIGHTS, TRAINING), run)
