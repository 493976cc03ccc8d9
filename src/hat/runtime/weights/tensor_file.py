"""A safetensors file whose tensors are read one at a time and not kept.

The numpy interface of safetensors does not know bfloat16, and maps the file while it copies, which takes
twice the memory on devices that have little. Here it only checks the header.
"""

import json
import os
import struct
from collections.abc import Collection, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

from hat.errors import HatError, UserError, named
from hat.runtime.weights.precision import DTYPES, Array, Stored, Weights, check_values


class _Slot(NamedTuple):
    """The place of a tensor: its element type, shape, and offset in the file in bytes."""

    type_name: str
    shape: tuple[int, ...]
    offset: int


class TensorFile(Mapping[str, Array]):
    """The tensors of a file, each read into a new array and checked at every access."""

    def __init__(self, path: Path, expected: Stored) -> None:
        """Check the header alone, so that a false one costs no memory. Raises UserError for a damaged file,
        and if names, shapes or types are not those `expected`."""
        self.path = path
        self._slots, self._stamp = _read_header(path)
        _check_names(self._slots, expected, str(path))
        for name, tensor in expected.items():
            _check_tensor(name, self._slots[name][:2], tensor, str(path))
        self._names = tuple(expected)

    def __getitem__(self, name: str) -> Array:
        """Raises KeyError, UserError for values that no weight may have, HatError if the file has changed."""
        slot = self._slots[name]
        with self.path.open("rb") as stream:
            if _stamp(stream) != self._stamp:
                raise HatError(f"{self.path}: has changed since the model was loaded")
            stream.seek(slot.offset)
            array = np.fromfile(stream, DTYPES[slot.type_name], prod(slot.shape))
        if array.size != prod(slot.shape):
            raise HatError(f"{self.path}: tensor {name} is truncated")
        check_values(name, array, str(self.path))
        return array.reshape(slot.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def write_tensors(path: Path, tensors: Weights, expected: Stored) -> None:
    """Write `tensors` one after the other, in the same bytes as safetensors. Raises UserError if they are not
    those `expected`, or hold values that no weight may have."""
    _check_names(tensors, expected, "weights")
    type_names = {dtype: type_name for type_name, dtype in DTYPES.items()}
    ordered = _in_order(expected)
    with path.open("wb") as stream:
        stream.write(_header(ordered))
        for name in ordered:
            array = np.ascontiguousarray(tensors[name])
            tensor = type_names.get(array.dtype, str(array.dtype)), array.shape
            _check_tensor(name, tensor, expected[name], "weights")
            check_values(name, array, "weights")
            # Not tofile, whose error does not say that the disk is full.
            stream.write(array.reshape(-1).view(np.uint8).data)


def file_bytes(tensors: Stored) -> int:
    """The size of a file of these tensors."""
    data = sum(prod(shape) * DTYPES[type_name].itemsize for type_name, shape in tensors.values())
    return len(_header(_in_order(tensors))) + data


def _in_order(tensors: Stored) -> Stored:
    """Wide elements first, so that each tensor is aligned."""
    order = sorted(tensors, key=lambda name: (-DTYPES[tensors[name][0]].itemsize, name))
    return {name: tensors[name] for name in order}


def _check_names(names: Collection[str], expected: Stored, where: str) -> None:
    for name, (_, shape) in expected.items():
        if name not in names:
            raise UserError(f"{where}: tensor {name} is missing; expected shape {shape}")
    for name in names:
        if name not in expected:
            raise UserError(f"{where}: unknown tensor {named(name)}; the architecture has no such weight")


def _check_tensor(
    name: str, tensor: tuple[str, tuple[int, ...]], expected: tuple[str, tuple[int, ...]], where: str
) -> None:
    if tensor[1] != expected[1]:
        raise UserError(f"{where}: tensor {name} has shape {tensor[1]}; expected {expected[1]}")
    if tensor[0] != expected[0]:
        raise UserError(f"{where}: tensor {name} is of type {tensor[0]}; expected {expected[0]}")


def _header(tensors: Stored) -> bytes:
    header, end = {}, 0
    for name, (type_name, shape) in tensors.items():
        start, end = end, end + prod(shape) * DTYPES[type_name].itemsize
        header[name] = {"dtype": type_name, "shape": shape, "data_offsets": (start, end)}
    content = json.dumps(header, separators=(",", ":")).encode()
    content += b" " * (-len(content) % 8)
    return struct.pack("<Q", len(content)) + content


def _read_header(path: Path) -> tuple[dict[str, _Slot], tuple[int, ...]]:
    try:
        # Checks that types are known and that offsets lie in the file, without gap or overlap.
        with safe_open(path, framework="numpy"):
            pass
        with path.open("rb") as stream:
            (size,) = struct.unpack("<Q", stream.read(8))
            header: dict[str, Any] = json.loads(stream.read(size))
            stamp = _stamp(stream)
    except (SafetensorError, struct.error, ValueError, RecursionError) as error:
        raise UserError(f"{path}: truncated or damaged ({named(error)})") from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    header.pop("__metadata__", None)
    slots = {
        name: _Slot(entry["dtype"], tuple(entry["shape"]), 8 + size + entry["data_offsets"][0])
        for name, entry in header.items()
    }
    return slots, stamp


def _stamp(stream: BinaryIO) -> tuple[int, ...]:
    """Facts of a file, at least one of which changes when it is written again or replaced."""
    status = os.fstat(stream.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
