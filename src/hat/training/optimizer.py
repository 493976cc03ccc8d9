"""Adam as published (docs/reference.md, Adam and Schedules): constants, learning rates, and one step."""

from math import cos, isfinite, pi, sqrt

import torch
from torch import nn, optim

from hat.training.settings import TrainingSettings

BETAS, EPSILON = (0.9, 0.98), 1e-8


def adam(module: nn.Module, settings: TrainingSettings) -> optim.AdamW:
    """The optimiser of a module's parameters, for `apply_gradients`."""
    decay = settings.weight_decay
    return optim.AdamW(module.parameters(), betas=BETAS, eps=EPSILON, weight_decay=decay, fused=True)


def learning_rate(update: int, settings: TrainingSettings) -> float:
    """The learning rate of update `update`, counted from 0: linear warm-up, then the schedule."""
    peak, floor, warmup = settings.learning_rate, settings.floor_learning_rate, settings.warmup
    if update < warmup:
        return floor + (peak - floor) * update / warmup
    if settings.schedule == "inverse-sqrt":
        return peak * sqrt(max(warmup, 1) / max(update, 1))
    done = (update - warmup) / max(settings.updates - warmup, 1)
    return floor + (peak - floor) * (1 + cos(pi * min(done, 1.0))) / 2


def apply_gradients(
    module: nn.Module, optimizer: optim.Optimizer, *, settings: TrainingSettings, tokens: int, update: int
) -> float:
    """Divide the summed gradients by `tokens`, clip them and step, unless they are not finite. Returns their
    norm before clipping."""
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    norm = float(nn.utils.get_total_norm(gradients)) / tokens
    too_long = norm / settings.clip_norm if settings.clip_norm else 0.0
    # The fused step divides each gradient as it reads it.
    optimizer.grad_scale = torch.tensor(tokens * max(1.0, too_long))  # type: ignore[attr-defined]
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(update, settings)
        # In the published code, epsilon joins the root of v before the bias correction.
        group["eps"] = EPSILON / sqrt(1 - BETAS[1] ** (update + 1))
    if isfinite(norm):
        optimizer.step()
    return norm
