"""Where trainings run, and in which precision their products are."""

import torch

from hat.training.settings import TrainingSettings


def training_device() -> torch.device:
    """The first GPU that PyTorch finds, else the processor. An empty CUDA_VISIBLE_DEVICES hides GPUs."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def uses_bf16(settings: TrainingSettings) -> bool:
    """Whether to train in bf16 autocast. Decided by the device alone, never by a stopwatch, so that
    a resumed training cannot change its mind; benchmarks/training_precision.py measures the gain."""
    if settings.precision != "auto":
        return settings.precision == "bf16"
    if training_device().type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def autocast(settings: TrainingSettings) -> torch.autocast:
    """Inside it products are of the settings' precision."""
    return torch.autocast(training_device().type, torch.bfloat16, enabled=uses_bf16(settings))
