"""Tests that need a CUDA GPU. `scripts/gpu_check.sh` runs them wherever there is one."""

from collections.abc import Callable
from typing import TypeVar

import pytest
import torch

Test = TypeVar("Test", bound=Callable[..., object])


def on_gpu(test: Test) -> Test:
    """Mark a test as one that needs a GPU; it is skipped where PyTorch finds none."""
    skipped = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU")
    return pytest.mark.gpu(skipped(test))
