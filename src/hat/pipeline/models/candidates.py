"""The losses of a search's candidates, with the weights that they inherit from the SuperTransformer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hat.architecture import Architecture
from hat.data import TokenStore, collate, sequential_batches
from hat.file_names import WEIGHTS
from hat.pipeline.models.training import load_super
from hat.pipeline.steps.context import Context
from hat.pipeline.steps.results import PREPARE, TRAIN_SUPER
from hat.search import candidate_loss
from hat.training import UniformSampling, use_threads


def loss_inputs(context: Context) -> dict[str, Any]:
    """The inputs that decide the loss of a candidate."""
    recipe = context.recipe
    return {
        "search.validation_sentences": recipe.search.validation_sentences,
        "super_training": recipe.super_training.model_dump(
            mode="json", include={"batch_tokens", "label_smoothing", "precision"}
        ),
        "results": {
            "validation text": context.outcome(PREPARE).digest_of("valid"),
            "SuperTransformer": context.outcome(TRAIN_SUPER).digest_of(WEIGHTS),
        },
    }


def inherited_loss(context: Context, memo: Path) -> Callable[[Architecture], float]:
    """Validation loss with inherited weights, on the first sentences of the validation text. `memo`: the
    folder of the known losses, and of the number of threads that they were computed with."""
    recipe = context.recipe
    settings = recipe.super_training
    network = load_super(context, settings)
    store = TokenStore.open(context.outcome(PREPARE).folder / "valid")
    wanted = recipe.search.validation_sentences
    groups = [rows[rows < wanted] for rows in sequential_batches(store, settings.batch_tokens)]
    batches = [collate(store, rows) for rows in groups if len(rows)]
    sampling = UniformSampling(context.space, recipe.seed)
    briefly = candidate_loss(network, batches[:1], settings)
    use_threads(memo, settings.threads, lambda number: briefly(sampling.architectures(number)[0]))
    return candidate_loss(network, batches, settings)
