"""The label-smoothed loss (REFERENCE item 15), for training and for validation."""

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from hat.data import Batch
from hat.model.translation_model import PAD
from hat.training.device import training_device

Network = Callable[[Tensor, Tensor], Tensor]


def label_smoothed_loss(logits: Tensor, target: Tensor, smoothing: float) -> Tensor:
    """Sum over the real tokens of target (B, T) of the smoothed loss, in nats; 0 gives the likelihood.

    The smoothing mass is spread evenly over the whole vocabulary, gold word and pad included.
    """
    return F.cross_entropy(
        logits.flatten(0, 1).float(),
        target.flatten(),
        ignore_index=PAD,
        reduction="sum",
        label_smoothing=smoothing,
    )


def tensors(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """source (B, S), target_in (B, T), target_out (B, T) of a batch, where trainings run."""
    device = training_device()
    source, target_in, target_out = (
        torch.from_numpy(array).to(device) for array in (batch.source, batch.target_in, batch.target_out)
    )
    return source, target_in, target_out


@torch.inference_mode()
def validation_loss(network: Network, batches: Iterable[Batch], smoothing: float) -> float:
    """Smoothed loss per target token, in nats. The caller puts the network into evaluation mode."""
    total, count = 0.0, 0
    for batch in batches:
        source, target_in, target_out = tensors(batch)
        loss = label_smoothed_loss(network(source, target_in), target_out, smoothing)
        total += float(loss)
        count += batch.target_tokens
    return total / count
