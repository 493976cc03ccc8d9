"""The fitness of a candidate: its validation loss with inherited weights."""

from collections.abc import Callable, Sequence

from hat.architecture import Architecture
from hat.data import Batch
from hat.model import SuperTransformer
from hat.training.accelerator import accelerator, autocast
from hat.training.loss import validation_loss
from hat.training.settings import TrainingSettings


def candidate_loss(
    super_transformer: SuperTransformer, batches: Sequence[Batch], settings: TrainingSettings
) -> Callable[[Architecture], float]:
    """The loss function of a search: smoothed validation loss per target token in nats, as a training
    with `settings` reports it, of an architecture with inherited weights (HAT, section 3.2)."""

    def loss(architecture: Architecture) -> float:
        # Extracted once, rather than lent for every batch: the outputs are the same.
        network = super_transformer.to(accelerator()).extract(architecture).eval()
        with autocast(settings):
            return validation_loss(network, batches, smoothing=settings.label_smoothing)

    return loss
