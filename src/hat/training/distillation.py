"""Knowledge distillation: a student's loss against its teacher's most probable tokens."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hat.data import SoftLabels
from hat.data.batches import Ids
from hat.model.translation_model import PAD


def soft_loss(
    logits: Tensor, target: Tensor, ids: Tensor, probabilities: Tensor, temperature: float
) -> Tensor:
    """Cross-entropy of the student's softmax at `temperature` against the teacher's distribution.

    Summed over the real tokens of target (B, T), in nats. logits (B, T, V); ids and probabilities
    (B, T, k), each position's probabilities adding up to 1. For k = V it differs from the divergence
    KL(teacher ‖ student) by the teacher's entropy, which has no gradient.
    """
    scaled = logits.float() / temperature
    expected = (probabilities * scaled.gather(-1, ids)).sum(-1)
    return (scaled.logsumexp(-1) - expected)[target != PAD].sum()


@dataclass(frozen=True)
class Distillation:
    """What a student learns from besides the own tokens of one text.

    Its loss is (1 - weight) × label-smoothed + weight × temperature² × soft, as in the published
    code; the square keeps the gradients' size (Hinton et al. 2015, section 2).
    """

    labels: SoftLabels
    weight: float

    def mixed_with(self, hard: Tensor, logits: Tensor, target: Tensor, rows: Ids) -> Tensor:
        """The loss of the sentences `rows` of the text, summed; `hard`: their usual one."""
        ids, probabilities = (torch.from_numpy(array).to(logits.device) for array in self.labels.batch(rows))
        temperature = self.labels.temperature
        soft = soft_loss(logits, target, ids, probabilities, temperature)
        return (1 - self.weight) * hard + self.weight * temperature**2 * soft
