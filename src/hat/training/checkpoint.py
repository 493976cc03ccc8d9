"""Checkpoints of a training: safetensors files with JSON in the header, each written whole or not at all."""

import json
from collections.abc import Mapping, Sequence
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


def save_checkpoint(
    path: Path, module: nn.Module, optimizers: Sequence[optim.Optimizer], metadata: object
) -> None:
    """Write all that a training needs to continue exactly: weights, the optimisers' state, and its position
    in `metadata`. Each parameter belongs to at most one optimiser."""
    tensors = {f"weights/{name}": parameter for name, parameter in module.named_parameters()}
    for optimizer in optimizers:
        for name, parameter in module.named_parameters():
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer/{name}/{key}"] = value
    save_tensors(path, tensors, metadata)


def load_checkpoint(path: Path, module: nn.Module, optimizers: Sequence[optim.Optimizer]) -> Any:
    """Put a checkpoint back into module and optimisers; returns its metadata. Raises UserError."""
    tensors, metadata = load_tensors(path)
    load_weights(path, module, _under("weights/", tensors))
    names = {parameter: name for name, parameter in module.named_parameters()}
    for optimizer in optimizers:
        ordered = [names[one] for group in optimizer.param_groups for one in group["params"]]
        moments = {index: _under(f"optimizer/{name}/", tensors) for index, name in enumerate(ordered)}
        state = {index: one for index, one in moments.items() if one}
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
