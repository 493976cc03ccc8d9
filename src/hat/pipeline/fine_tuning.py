"""Fine-tuning of a run's model in its code books, on the text that the run has prepared."""

import tempfile
from pathlib import Path

from hat.compression.fine_tuning import CodeBookTrainee
from hat.disk import Room
from hat.pipeline.current_status import finished
from hat.pipeline.models.training import dropout, seed_and_threads
from hat.pipeline.runner import open_run
from hat.pipeline.steps.results import PREPARE
from hat.progress import Progress, silent
from hat.runtime import Artefact
from hat.training import TrainingSettings, train

# Few numbers are trained, and they start near where they belong: measured on Multi30k at 4 bits.
LEARNING_RATE = 3e-4
VALIDATIONS = 5


def fine_tune(run: Path, artefact: Artefact, updates: int, progress: Progress = silent) -> Artefact:
    """A k-means artefact of a model of `run`, its code books trained for `updates` updates.

    Batches, loss and dropout are those of the recipe's `sub_training`. Nothing is written into the
    run; a training that is interrupted starts again. Raises UserError where the run's text is not
    prepared, HatError where the loss diverges.
    """
    recipe, root = open_run(str(run))
    texts = finished(recipe, root, [PREPARE]).stores(PREPARE)
    changes = {
        "updates": updates,
        "schedule": "cosine",
        "learning_rate": LEARNING_RATE,
        "warmup": updates // 10,
        "validate_every": max(1, updates // VALIDATIONS),
        "checkpoint_every": updates + 1,
        "patience": 0,
        "processes": 1,
    }
    settings = TrainingSettings.model_validate(recipe.sub_training.model_dump() | changes)
    seed_and_threads(recipe.seed)
    trainee = CodeBookTrainee(artefact, dropout(settings))
    with tempfile.TemporaryDirectory() as folder, Room(Path(folder)):
        train(trainee, texts, settings=settings, folder=Path(folder), seed=recipe.seed, progress=progress)
    return trainee.quantized({"fine_tuned_updates": updates})
