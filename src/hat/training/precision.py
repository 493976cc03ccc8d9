"""In which precision the products of a training run."""

import torch

from hat.training.settings import TrainingSettings


def uses_bf16(settings: TrainingSettings) -> bool:
    """Whether to train in bf16 autocast. Decided by the processor alone, never by a stopwatch, so that
    a resumed training cannot change its mind; benchmarks/training_precision.py measures the gain."""
    if settings.precision != "auto":
        return settings.precision == "bf16"
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
