"""train-super: one SuperTransformer, whose weights every SubTransformer borrows."""

from collections.abc import Iterator
from pathlib import Path

import torch

from hat.model import Dropout, SuperTransformer
from hat.pipeline.context import Context
from hat.pipeline.steps import Step
from hat.pipeline.versions import VERSIONS
from hat.progress import Progress
from hat.training import SuperTrainee, TrainingSettings, UniformSampling, train
from hat.training.checkpoint import load_tensors, load_weights
from hat.training.threads import start_threads

NAME = "train-super"
WEIGHTS = "model.safetensors"
OUTPUTS = (WEIGHTS, "training.json")
THREADS = start_threads()


def steps(context: Context) -> Iterator[Step]:
    """One step; it depends on training and validation text, not on the test set."""
    recipe = context.recipe
    prepared = context.outcome("prepare")

    def run(folder: Path, progress: Progress) -> None:
        seed_and_threads(recipe.seed)
        network = _network(context, recipe.super_training)
        trainee = SuperTrainee(network, UniformSampling(context.space, recipe.seed), context.space.smallest())
        text, valid = context.stores("prepare")
        train(
            trainee,
            (text, valid),
            settings=recipe.super_training,
            folder=folder,
            seed=recipe.seed,
            progress=progress,
        )

    inputs = {
        "seed": recipe.seed,
        "super_training": training_inputs(recipe.super_training),
        "space": context.space.to_dict(),
        "data": {"vocabulary": {"joint": recipe.data.vocabulary.joint}},
        **context.norm_inputs,
        "results": {"prepared text": prepared.digest_of("train", "valid")},
    }
    yield Step(NAME, inputs, OUTPUTS, run, VERSIONS[NAME])


def training_inputs(settings: TrainingSettings) -> dict[str, object]:
    """The settings that decide the result; not the interval of checkpoints, nor the threads, which a resumed
    training may change."""
    return settings.model_dump(mode="json", exclude={"checkpoint_every", "threads"})


def seed_and_threads(seed: int) -> None:
    """Make the following work independent of what this process did before.

    Initial weights come from the seed; the order of sums depends on the thread count, which engines and
    trainings change.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(THREADS)


def load_super(context: Context, settings: TrainingSettings) -> SuperTransformer:
    """The trained SuperTransformer; its extracted SubTransformers get the dropout of `settings`."""
    path = context.outcome(NAME).folder / WEIGHTS
    network = _network(context, settings)
    load_weights(path, network.largest, load_tensors(path)[0])
    return network


def _network(context: Context, settings: TrainingSettings) -> SuperTransformer:
    config = context.model_config(context.space.largest())
    return SuperTransformer(config, dropout(settings))


def dropout(settings: TrainingSettings) -> Dropout:
    """The dropout probabilities of a training."""
    return Dropout(settings.dropout, settings.attention_dropout)
