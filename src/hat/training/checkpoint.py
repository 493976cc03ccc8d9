"""Checkpoints of a training: safetensors files with JSON in the header, each written whole or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn, optim

from hat.errors import UserError
from hat.files import atomic_path


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: object = None) -> None:
    """Write tensors, with JSON `metadata` in the header."""
    with atomic_path(path) as temporary:
        contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
        save_file(contiguous, temporary, {"hat": json.dumps(metadata)})


def load_tensors(path: Path) -> tuple[dict[str, Tensor], Any]:
    """Tensors and metadata of `save_tensors`. Raises UserError for a missing or damaged file."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            return tensors, json.loads((file.metadata() or {}).get("hat", "null"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such checkpoint") from error
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged checkpoint ({error}); delete it to repeat its work") from error


def save_checkpoint(path: Path, module: nn.Module, optimizer: optim.Optimizer, metadata: object) -> None:
    """Write all that a training needs to continue exactly: weights, optimiser state, and its position in
    `metadata`."""
    names = [name for name, _ in module.named_parameters()]
    tensors = {f"weights/{name}": tensor for name, tensor in module.named_parameters()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{names[index]}/{key}": value for key, value in state.items()}
    save_tensors(path, tensors, metadata)


def load_checkpoint(path: Path, module: nn.Module, optimizer: optim.Optimizer) -> Any:
    """Put a checkpoint back into module and optimiser; returns its metadata. Raises UserError."""
    tensors, metadata = load_tensors(path)
    load_weights(path, module, _under("weights/", tensors))
    state: dict[int, dict[str, Tensor]] = {}
    for index, (name, _) in enumerate(module.named_parameters()):
        if moments := _under(f"optimizer/{name}/", tensors):
            state[index] = moments
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return metadata


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def load_weights(path: Path, module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights into a module. Raises UserError naming `path` where names or shapes differ."""
    try:
        module.load_state_dict(dict(weights))
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(f"{path}: not a checkpoint of this model: {reason}") from error
