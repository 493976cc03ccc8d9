"""The loss of a text, label-smoothed (docs/reference.md, Loss), with a teacher's soft labels or without."""

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from hat.data import Batch
from hat.model.translation_model import PAD
from hat.training.device import training_device
from hat.training.distillation import Distillation

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


def batch_loss(
    logits: Tensor, target: Tensor, batch: Batch, smoothing: float, distillation: Distillation | None = None
) -> Tensor:
    """The label-smoothed loss of a batch, mixed with that against its soft labels where there are any."""
    loss = label_smoothed_loss(logits, target, smoothing)
    return distillation.mixed_with(loss, logits, target, batch.rows) if distillation else loss


@torch.inference_mode()
def validation_loss(
    network: Network, batches: Iterable[Batch], smoothing: float, distillation: Distillation | None = None
) -> float:
    """Loss per target token, in nats. The caller puts the network into evaluation mode."""
    total, count = 0.0, 0
    for batch in batches:
        source, target_in, target_out = tensors(batch)
        total += float(batch_loss(network(source, target_in), target_out, batch, smoothing, distillation))
        count += batch.target_tokens
    return total / count
