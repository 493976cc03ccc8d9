"""Optimisers, learning rates, and one step.

Adam as published (docs/reference.md, Adam and Schedules), or Muon for the matrices and Adam for the rest.
"""

from collections.abc import Iterable, Sequence
from math import cos, isfinite, pi, sqrt

import torch
from torch import Tensor, nn, optim

from hat.training.accelerator import uses_bf16
from hat.training.muon import Muon
from hat.training.one_pass import OnePassAdamW, one_pass_fits
from hat.training.settings import TrainingSettings

BETAS, EPSILON = (0.9, 0.98), 1e-8


def optimizers(
    module: nn.Module, settings: TrainingSettings, *, lends: bool = False
) -> list[optim.Optimizer]:
    """The optimisers of a module's parameters, for `apply_gradients`: Adam, or Adam and Muon. `lends`: the
    trainee can run on the weights that `OnePassAdamW` lends."""
    if settings.optimizer == "adam" and lends and one_pass_fits(module, settings):
        return [OnePassAdamW(module, betas=BETAS, weight_decay=settings.weight_decay)]
    if settings.optimizer == "adam":
        return [adam(module.parameters(), settings)]
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        (matrices if _multiplies(name, parameter) else others).append(parameter)
    dtype = torch.bfloat16 if uses_bf16(settings) else matrices[0].dtype
    return [adam(others, settings), Muon(matrices, weight_decay=settings.weight_decay, dtype=dtype)]


def adam(parameters: Iterable[nn.Parameter], settings: TrainingSettings) -> optim.AdamW:
    """Adam with the published constants."""
    return optim.AdamW(parameters, betas=BETAS, eps=EPSILON, weight_decay=settings.weight_decay, fused=True)


def _multiplies(name: str, parameter: nn.Parameter) -> bool:
    """True for a matrix that activations are multiplied with, or a stack of them. The rows of an embedding
    are looked up one by one, and those of a depthwise convolution act on one channel each."""
    return name.endswith(".weight") and parameter.dim() > 1 and "depthwise" not in name


def learning_rate(update: int, settings: TrainingSettings) -> float:
    """The learning rate of update `update`, counted from 0: linear warm-up, then the schedule."""
    peak, floor, warmup = settings.learning_rate, settings.floor_learning_rate, settings.warmup
    if update < warmup:
        return floor + (peak - floor) * update / warmup
    if settings.schedule == "inverse-sqrt":
        return peak * sqrt(max(warmup, 1) / max(update, 1))
    if settings.schedule == "stable-decay":
        left = (settings.updates - update) / max(settings.decay * settings.updates, 1)
        return floor + (peak - floor) * max(0.0, min(left, 1.0))
    done = (update - warmup) / max(settings.updates - warmup, 1)
    return floor + (peak - floor) * (1 + cos(pi * min(done, 1.0))) / 2


def apply_gradients(
    module: nn.Module,
    optimizers: Sequence[optim.Optimizer],
    *,
    settings: TrainingSettings,
    tokens: int,
    update: int,
    rate_factor: float = 1.0,
    usable: bool = True,
) -> float:
    """Divide the summed gradients by `tokens`, clip them and step, with the learning rate of `update` times
    `rate_factor`. Without effect if gradients are not finite or not `usable`. Returns their norm before
    clipping."""
    norm = gradient_norm(module, optimizers) / tokens
    too_long = norm / settings.clip_norm if settings.clip_norm else 0.0
    # The step divides each gradient as it reads it, by a float32 on the gradients' device.
    device = next(module.parameters()).device
    divisor = torch.full((), tokens * max(1.0, too_long), dtype=torch.float32, device=device)
    rate = rate_factor * learning_rate(update, settings)
    for optimizer in optimizers:
        optimizer.grad_scale = divisor  # type: ignore[attr-defined]
        for group in optimizer.param_groups:
            if isinstance(optimizer, Muon):
                group["lr"] = rate * settings.matrix_learning_rate / settings.learning_rate
            else:
                group["lr"] = rate
                # In the published code, epsilon joins the root of v before the bias correction.
                group["eps"] = EPSILON / sqrt(1 - BETAS[1] ** (update + 1))
        if usable and isfinite(norm):
            optimizer.step()
    return norm


def gradient_norm(module: nn.Module, optimizers: Sequence[optim.Optimizer]) -> float:
    """The norm of all gradients of an update together."""
    if isinstance(optimizers[0], OnePassAdamW):
        return optimizers[0].norm()
    return float(nn.utils.get_total_norm(gradients(module, optimizers).values()))


def gradients(module: nn.Module, optimizers: Sequence[optim.Optimizer]) -> dict[str, Tensor]:
    """The gradients of an update by parameter; of OnePassAdamW's those of the corners that were lent."""
    if isinstance(optimizers[0], OnePassAdamW):
        return optimizers[0].gradients
    return {name: weight.grad for name, weight in module.named_parameters() if weight.grad is not None}


def set_gradients(
    module: nn.Module, optimizers: Sequence[optim.Optimizer], changed: dict[str, Tensor]
) -> None:
    """Put others in the place of the gradients."""
    if isinstance(optimizers[0], OnePassAdamW):
        optimizers[0].gradients = changed
    else:
        for name, weight in module.named_parameters():
            weight.grad = changed.get(name)
