"""Writing checkpoints in the published format."""

from argparse import Namespace
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.interop.published_checkpoint import Save, Tensors, published_args, published_tensors


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Writes a checkpoint as the published trainer does, in the zip or the older container."""

    def write(
        tensors: Tensors | None = None,
        args: Namespace | None = None,
        zipped: bool = True,
        **extra: Any,
    ) -> Path:
        content = {
            "args": args or published_args(),
            "model": OrderedDict(published_tensors() if tensors is None else tensors),
            "optimizer_history": [{"lr_scheduler_state": {"best": None}, "num_updates": 3}],
            "extra_state": {"train_iterator": {"epoch": 1}, "val_loss": 2.5, **extra},
            "last_optimizer_state": OrderedDict(state={0: {"exp_avg": torch.ones(3)}}),
        }
        torch.save(content, tmp_path / "model.pt", _use_new_zipfile_serialization=zipped)
        return tmp_path / "model.pt"

    return write
