"""The accelerator that trainings use, the processor or a GPU, and the precision of products on it."""

import torch
from torch import Tensor

from hat.data import Batch
from hat.training.settings import TrainingSettings


def accelerator() -> torch.device:
    """The first GPU that PyTorch finds, else the processor. An empty CUDA_VISIBLE_DEVICES hides GPUs."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def uses_bf16(settings: TrainingSettings) -> bool:
    """True for training in bf16 autocast. The accelerator alone decides, never a stopwatch, so that a resumed
    training decides the same; benchmarks/training_precision.py measures the gain."""
    if settings.precision != "auto":
        return settings.precision == "bf16"
    if accelerator().type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def autocast(settings: TrainingSettings) -> torch.autocast:
    """Context in which products have the settings' precision."""
    return torch.autocast(accelerator().type, torch.bfloat16, enabled=uses_bf16(settings))


def tensors(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """source (B, S), target_in (B, T) and target_out (B, T) of a batch, on the accelerator."""
    arrays = (batch.source, batch.target_in, batch.target_out)
    source, target_in, target_out = (torch.from_numpy(array).to(accelerator()) for array in arrays)
    return source, target_in, target_out
