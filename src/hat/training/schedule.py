"""Learning-rate schedules as published (docs/reference.md, Schedules)."""

from math import cos, pi, sqrt

from hat.training.settings import TrainingSettings


def learning_rate(update: int, settings: TrainingSettings) -> float:
    """The learning rate of update `update`, counted from 0: linear warm-up, then the schedule."""
    peak, floor, warmup = settings.learning_rate, settings.floor_learning_rate, settings.warmup
    if update < warmup:
        return floor + (peak - floor) * update / warmup
    if settings.schedule == "inverse-sqrt":
        return peak * sqrt(max(warmup, 1) / max(update, 1))
    done = (update - warmup) / max(settings.updates - warmup, 1)
    return floor + (peak - floor) * (1 + cos(pi * min(done, 1.0))) / 2
