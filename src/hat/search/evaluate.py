"""The fitness of a candidate: its validation loss with inherited weights."""

from collections.abc import Callable, Sequence

import torch

from hat.architecture import Architecture
from hat.data import Batch
from hat.model import SuperTransformer
from hat.training.loss import validation_loss


def candidate_loss(
    super_transformer: SuperTransformer,
    batches: Sequence[Batch],
    smoothing: float,
    bf16: bool = False,
) -> Callable[[Architecture], float]:
    """The loss function of a search: smoothed validation loss per target token in nats, as training
    reports it, of an architecture with inherited weights (HAT, section 3.2)."""

    def loss(architecture: Architecture) -> float:
        # Extracted once, rather than lent for every batch: the outputs are the same.
        network = super_transformer.extract(architecture).eval()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return validation_loss(network, batches, smoothing)

    return loss
