"""Checkpoints of a training: safetensors files with JSON in the header, each written whole or not at all.

The checkpoint before the newest one is kept beside it, for a disk that damages the newest.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import safetensors
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn, optim

from hat.disk import flush_file
from hat.errors import UserError
from hat.files import atomic_path

METADATA, CHECKSUMS = "hat", "checksums"  # keys of the header
MOST_HEADER = 100 << 20  # bytes, as in safetensors


class DamagedCheckpoint(UserError):
    """A file of tensors that is cut short or changed, or of something else. `problem`: what is wrong."""

    def __init__(self, path: Path, problem: object) -> None:
        super().__init__(f"{path}: damaged checkpoint ({problem}); delete it to repeat its work")
        self.problem = str(problem)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: object = None) -> None:
    """Write tensors, with JSON `metadata` in the header."""
    with atomic_path(path) as temporary:
        save_file(_plain(tensors), temporary, {METADATA: json.dumps(metadata)})


def load_tensors(path: Path) -> tuple[dict[str, Tensor], Any]:
    """Tensors and metadata of `save_tensors` or `save_checkpoint`. Raises DamagedCheckpoint, and UserError
    for a missing file."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        text = header.get(METADATA, "null")
        metadata, expected = json.loads(text), json.loads(header.get(CHECKSUMS, "{}"))
        changed = _differing(_checksums(tensors, text), expected)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such checkpoint") from error
    except (SafetensorError, OSError, ValueError, AttributeError, RecursionError) as error:
        raise DamagedCheckpoint(path, error) from error
    if changed:
        raise DamagedCheckpoint(path, f"{changed} is not as it was written")
    return tensors, metadata


def read_metadata(path: Path) -> Any:
    """The metadata of a checkpoint alone; None for a missing or damaged file. Only the header is read: 8
    bytes with its length, and JSON."""
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(min(int.from_bytes(file.read(8), "little"), MOST_HEADER)))
        return json.loads(header["__metadata__"][METADATA])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def before(path: Path) -> Path:
    """The place of the checkpoint before the one at `path`."""
    return path.with_stem(f"{path.stem}-before")


def save_checkpoint(
    path: Path, module: nn.Module, optimizers: Sequence[optim.Optimizer], metadata: object
) -> None:
    """Write all that a training needs to continue exactly: weights, the optimisers' state, and its position
    in `metadata`. Each parameter belongs to at most one optimiser. An earlier checkpoint at `path` moves to
    `before(path)`."""
    tensors = {f"weights/{name}": parameter for name, parameter in module.named_parameters()}
    for optimizer in optimizers:
        for name, parameter in module.named_parameters():
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer/{name}/{key}"] = value
    plain, text = _plain(tensors), json.dumps(metadata)
    header = {METADATA: text, CHECKSUMS: json.dumps(_checksums(plain, text))}
    with atomic_path(path) as temporary:
        save_file(plain, temporary, header)
        flush_file(temporary)  # from here on the new one is safe, whatever its name
        if path.exists():
            path.replace(before(path))


def load_checkpoint(path: Path, module: nn.Module, optimizers: Sequence[optim.Optimizer]) -> Any:
    """Put a checkpoint back into module and optimisers; returns its metadata. Raises UserError, and
    DamagedCheckpoint before anything was put anywhere."""
    tensors, metadata = load_tensors(path)
    load_weights(path, module, _under("weights/", tensors))
    names = {parameter: name for name, parameter in module.named_parameters()}
    for optimizer in optimizers:
        ordered = [names[one] for group in optimizer.param_groups for one in group["params"]]
        moments = {index: _under(f"optimizer/{name}/", tensors) for index, name in enumerate(ordered)}
        state = {index: one for index, one in moments.items() if one}
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return metadata


def load_weights(path: Path, module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights into a module. Raises UserError naming `path` where names or shapes differ."""
    try:
        module.load_state_dict(dict(weights))
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(f"{path}: not a checkpoint of this model: {reason}") from error


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _checksums(tensors: Mapping[str, Tensor], metadata: str) -> dict[str, int]:
    """CRC-32 of the metadata and of each tensor: safetensors itself notices a file cut short, but not a
    changed one."""
    sums = {name: crc32(tensor.flatten().view(torch.uint8).numpy().data) for name, tensor in tensors.items()}
    return sums | {METADATA: crc32(metadata.encode())}


def _differing(found: Mapping[str, int], expected: Mapping[str, int]) -> str:
    """The first name with another sum than expected; empty if there is none, or nothing is expected."""
    return next((name for name, one in found.items() if expected.get(name, one) != one), "")
