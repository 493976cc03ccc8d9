"""The loss of a text, label-smoothed (docs/reference.md, Loss), with a teacher's soft labels or without."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hat.data import Batch, SoftLabels
from hat.model.kernels import kernels
from hat.tokens import PAD
from hat.training.accelerator import tensors

Network = Callable[[Tensor, Tensor], Tensor]


# Scores that one turn of a loss's loop holds in float32. On a processor they fit into a core's
# second-level cache; on a GPU, which takes microseconds to start each operation, they are 256 MiB.
CHUNK, GPU_CHUNK = 1 << 18, 1 << 26
# The words that the kernel of `SmoothedCrossEntropy` needs at least.
SMALLEST_VOCABULARY = 32


# The losses of some rows, and their derivative by the scores, computed where it is needed.
Piece = tuple[Tensor, Callable[[], Tensor]]


class SmoothedCrossEntropy(torch.autograd.Function):
    """The label-smoothed loss of logits (N, V) at target (N), summed; its gradient is computed beside it.

    Some rows at a time, or in a kernel row by row: float32 probabilities of a whole batch exist nowhere.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, smoothing: float) -> Tensor:
        """The loss, in float32 or, of float64 logits, in float64."""
        if compiled := _compiled(logits):
            gradient = torch.empty_like(logits) if ctx.needs_input_grad[0] else None
            threads = torch.get_num_threads()
            summed = compiled(logits.detach(), target, smoothing, PAD, gradient, threads)
            if gradient is not None:
                ctx.save_for_backward(gradient)
            return torch.tensor(summed)
        even = smoothing / logits.shape[-1]

        def piece(rows: slice, scores: Tensor, probabilities: Tensor) -> Piece:
            words = target[rows, None]
            right = scores.gather(-1, words)[:, 0]
            losses = _normalizer(scores, probabilities) - (1 - smoothing) * right - even * scores.sum(-1)
            minus = torch.full_like(words, smoothing - 1, dtype=scores.dtype)
            return losses, lambda: probabilities.sub_(even).scatter_add_(-1, words, minus)

        return _by_rows(ctx, logits, target, piece)

    @staticmethod
    def backward(ctx: Any, *factors: Tensor) -> tuple[Tensor, None, None]:
        """The gradient with respect to the logits."""
        return _scaled(ctx.saved_tensors[0], factors[0]), None, None


class ImitatedCrossEntropy(torch.autograd.Function):
    """The cross-entropy of logits (N, V) against the softmax of a teacher's (N, V), summed over the rows
    whose target (N) is not a pad; computed as `SmoothedCrossEntropy` is. The teacher gets no gradient."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, teacher: Tensor) -> Tensor:
        """The loss, in float32 or, of float64 logits, in float64."""

        def piece(rows: slice, scores: Tensor, probabilities: Tensor) -> Piece:
            wanted = teacher[rows].to(scores.dtype).softmax(-1)
            losses = _normalizer(scores, probabilities) - torch.linalg.vecdot(wanted, scores)
            return losses, lambda: probabilities.sub_(wanted)

        return _by_rows(ctx, logits, target, piece)

    @staticmethod
    def backward(ctx: Any, *factors: Tensor) -> tuple[Tensor, None, None]:
        """The gradient with respect to the logits."""
        return _scaled(ctx.saved_tensors[0], factors[0]), None, None


def _by_rows(ctx: Any, logits: Tensor, target: Tensor, piece: Callable[..., Piece]) -> Tensor:
    """The sum of the losses that `piece` computes from the scores of some rows and their softmax, without
    pads; the gradient is saved in `ctx`."""
    count = _rows_at_once(logits)
    dtype = torch.promote_types(logits.dtype, torch.float32)
    loss = torch.zeros((), dtype=dtype, device=logits.device)
    gradient = torch.empty_like(logits) if ctx.needs_input_grad[0] else None
    for start in range(0, len(logits), count):
        rows = slice(start, start + count)
        scores, pads = logits[rows].to(dtype), target[rows] == PAD
        losses, differences = piece(rows, scores, scores.softmax(-1))
        loss += losses.masked_fill_(pads, 0).sum()
        if gradient is not None:
            gradient[rows] = differences().masked_fill_(pads[:, None], 0)
    if gradient is not None:
        ctx.save_for_backward(gradient)
    return loss


def _normalizer(scores: Tensor, probabilities: Tensor) -> Tensor:
    """The logarithm of the sum of e^score, from the softmax: the largest probability is that of the largest
    score, and never 0."""
    return scores.amax(-1) - probabilities.amax(-1).log()


def _rows_at_once(logits: Tensor) -> int:
    chunk = CHUNK if logits.device.type == "cpu" else GPU_CHUNK
    return max(1, chunk // logits.shape[-1])


def _scaled(gradient: Tensor, factor: Tensor) -> Tensor:
    # On a GPU, comparing would wait for the answer.
    as_it_is = factor.device.type == "cpu" and float(factor) == 1
    return gradient if as_it_is else gradient * factor


def imitation_loss(logits: Tensor, target: Tensor, teacher: Tensor) -> Tensor:
    """In-place distillation: the cross-entropy of logits (B, T, V) against the softmax of those of a larger
    SubTransformer, `teacher` (B, T, V), summed over the real tokens of target (B, T), in nats.

    It differs from the divergence KL(teacher ‖ logits) by the entropy of `teacher`, which has no gradient.
    """
    return ImitatedCrossEntropy.apply(logits.flatten(0, 1), target.flatten(), teacher.flatten(0, 1))  # type: ignore[no-any-return,no-untyped-call]


def _compiled(logits: Tensor) -> Callable[..., float] | None:
    """The kernel of the smoothed loss for logits (N, V), where there is one."""
    module = kernels() if logits.device.type == "cpu" and logits.dtype == torch.bfloat16 else None
    if module is None or logits.shape[1] < SMALLEST_VOCABULARY or not logits.is_contiguous():
        return None
    compiled: Callable[..., float] = module.smoothed_loss
    return compiled


def label_smoothed_loss(logits: Tensor, target: Tensor, smoothing: float) -> Tensor:
    """The smoothed loss summed over the real tokens of target (B, T), in nats; `smoothing` 0 gives the
    likelihood.

    As in the published code, the smoothing mass is spread evenly over the whole vocabulary, the right word
    and the pad included.
    """
    return SmoothedCrossEntropy.apply(logits.flatten(0, 1), target.flatten(), smoothing)  # type: ignore[no-any-return,no-untyped-call]


def soft_loss(
    logits: Tensor, target: Tensor, *, ids: Tensor, probabilities: Tensor, temperature: float
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
class Lesson:
    """A teacher's soft labels of a text, and their weight in the student's loss.

    That loss is (1 - weight) × label-smoothed + weight × temperature² × soft, as in the published
    code; the square keeps the gradients' size (Hinton et al. 2015, section 2).
    """

    labels: SoftLabels
    weight: float

    def mixed_loss(self, smoothed: Tensor, logits: Tensor, target: Tensor, batch: Batch) -> Tensor:
        """The student's loss of a batch, summed; `smoothed`: the label-smoothed part."""
        ids, probabilities = (
            torch.from_numpy(array).to(logits.device) for array in self.labels.batch(batch.rows)
        )
        temperature = self.labels.temperature
        soft = soft_loss(logits, target, ids=ids, probabilities=probabilities, temperature=temperature)
        return (1 - self.weight) * smoothed + self.weight * temperature**2 * soft


def batch_loss(
    logits: Tensor, target: Tensor, *, batch: Batch, smoothing: float, lesson: Lesson | None = None
) -> Tensor:
    """The label-smoothed loss of a batch, summed; with a lesson, mixed with that against its soft labels."""
    loss = label_smoothed_loss(logits, target, smoothing)
    return lesson.mixed_loss(loss, logits, target, batch) if lesson else loss


@torch.inference_mode()
def validation_loss(
    network: Network, batches: Iterable[Batch], *, smoothing: float, lesson: Lesson | None = None
) -> float:
    """Loss per target token, in nats; 0 without batches. The caller puts the network into evaluation mode."""
    total, count = 0.0, 0
    for batch in batches:
        source, target_in, target = tensors(batch)
        logits = network(source, target_in)
        total += float(batch_loss(logits, target, batch=batch, smoothing=smoothing, lesson=lesson))
        count += batch.target_tokens
    return total / max(count, 1)
