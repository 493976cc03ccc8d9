"""Reads the published code's checkpoints without running anything that is in them.

A checkpoint is a pickle, and a pickle may call any function it names. This reader resolves only
the names that the published trainer writes, to inert stand-ins, and refuses every other by name.
It reads both of PyTorch's containers: the zip of version 1.6 and later, whose checksums it verifies
(`torch.load` returns damaged weights without a word), and the older stream of pickles. A file of n
bytes becomes a few times n bytes of memory, however often it names the same part of itself.
"""

import os
import pickle
import reprlib
import struct
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from io import SEEK_CUR, BytesIO
from math import prod
from pathlib import Path
from typing import IO, BinaryIO, ClassVar, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from hat.errors import UserError

ZIP_START = b"PK\x03\x04"
STREAM_MAGIC = 0x1950A86A20F9469CFC6C
STREAM_PROTOCOL = 1001
# The most tensors that may share a storage: source embedding, target embedding and output projection.
MOST_SHARED = 3
# The most settings, with the values in lists and mappings; published checkpoints have some 150.
MOST_SETTINGS = 100_000

# The errors of pickle and zip readers for damaged bytes.
DAMAGE = (
    *(pickle.UnpicklingError, zipfile.BadZipFile, struct.error, EOFError, LookupError, ValueError),
    *(TypeError, AttributeError, OverflowError, MemoryError, AssertionError, RuntimeError),
)

Content = TypeVar("Content")


@dataclass(frozen=True)
class ReferenceCheckpoint:
    """`args`: the trainer's settings, by name. `tensors`: the state dict, as stored."""

    args: dict[str, object]
    tensors: dict[str, Tensor]


def read_checkpoint(path: Path) -> ReferenceCheckpoint:
    """Read settings and weights; the optimiser's state stays on disk.

    Raises UserError if the file is unreadable, damaged, not such a checkpoint, or holds an object
    of a kind that the published trainer does not write.
    """
    return _read(path, _assemble)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read a file that holds named tensors alone, as the published latency predictors do.

    Raises UserError as `read_checkpoint`.
    """
    return _read(path, lambda container: _tensors(container.content, container))


def _read(path: Path, assemble: "Callable[[_Container], Content]") -> "Content":
    try:
        with path.open("rb") as stream:
            zipped = stream.read(len(ZIP_START)) == ZIP_START
            stream.seek(0)
            return assemble(_Zip(stream) if zipped else _Stream(stream))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except DAMAGE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        problem = f"cut short, damaged, or not a published checkpoint ({reason})"
        raise UserError(f"{path}: {problem}") from error


class _Inert:
    """A stand-in for a published object: it keeps the attributes uncopied, and does nothing."""

    attributes: object = None

    def __setstate__(self, attributes: object) -> None:
        self.attributes = attributes


class _Items(dict[object, object]):
    """A stand-in for an OrderedDict. Items are added one by one, never those of another mapping at once."""

    def __init__(self) -> None:
        super().__init__()

    def __setstate__(self, attributes: object) -> None:
        """Ignores a state dict's attributes, the versions of its layers."""


class _Storage(NamedTuple):
    """A block of numbers that is still on disk."""

    dtype: torch.dtype
    key: str
    numel: int

    @property
    def size(self) -> int:
        """The size in bytes."""
        return self.numel * self.dtype.itemsize

    def check(self, count: int, what: str) -> None:
        if count != self.size:
            raise ValueError(f"{what}: {count} bytes for {self.numel} numbers of {self.dtype}")


class _TensorRecord(NamedTuple):
    """A tensor as a checkpoint describes it. Offset and strides count elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _record_tensor(
    storage: object, offset: object, shape: object, strides: object, *_: object
) -> _TensorRecord:
    match storage, offset, shape, strides:
        case _Storage(), int(), tuple(), tuple():
            if all(type(number) is int for number in (*shape, *strides)):
                return _TensorRecord(storage, offset, shape, strides)
    raise ValueError("a tensor without a storage, offset, shape and strides")


KNOWN: dict[str, object] = {
    "collections.OrderedDict": _Items,
    "argparse.Namespace": _Inert,
    "fairseq.meters.AverageMeter": _Inert,
    "fairseq.meters.StopwatchMeter": _Inert,
    "fairseq.meters.TimeMeter": _Inert,
    "torch._utils._rebuild_tensor_v2": _record_tensor,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.BoolStorage": torch.bool,
    "torch.ByteStorage": torch.uint8,
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.IntStorage": torch.int32,
    "torch.LongStorage": torch.int64,
}


# Python's unpickler, not the one in C, which reserves as much memory as a forged index asks for.
class _Unpickler(pickle._Unpickler):
    """Builds plain data, and nothing by a name outside KNOWN. Lists the storages it meets."""

    # It does not reserve the length that a bytearray claims either; checkpoints have no bytearray.
    dispatch: ClassVar = {
        op: load for op, load in pickle._Unpickler.dispatch.items() if op != pickle.BYTEARRAY8[0]
    }

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(stream)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> object:
        known = KNOWN.get(f"{module}.{name}")
        if known is None:
            raise UserError(f"refused: holds {module}.{name}, which no published checkpoint does")
        return known

    def persistent_load(self, pid: object) -> _Storage:
        match pid:
            # The older container adds None, or the storage that this one is a part of.
            case ("storage", torch.dtype() as dtype, str(key), str(), int(numel), *view):
                if not any(view):
                    return self.storages.setdefault(key, _Storage(dtype, key, numel))
        raise ValueError(f"unknown storage {reprlib.repr(pid)}")


class _Container(Protocol):
    """A checkpoint file: one pickled object, and the storages it refers to."""

    content: object
    size: int  # of the file, in bytes

    def read(self, storage: _Storage) -> bytes: ...


class _Zip:
    """The zip container: NAME/data.pkl, and one uncompressed entry NAME/data/KEY per storage."""

    def __init__(self, stream: BinaryIO) -> None:
        self.size = os.fstat(stream.fileno()).st_size
        self.archive = zipfile.ZipFile(stream)
        pickles = [name for name in self.archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError(f"{len(pickles)} entries named data.pkl")
        self.folder = pickles[0].removesuffix("data.pkl")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in self.archive.infolist()):
            raise ValueError("compressed entries")
        order = f"{self.folder}byteorder"  # absent before version 2.1
        if order in self.archive.namelist() and self.archive.read(order) != b"little":
            raise ValueError("written on a big-endian machine")
        # Read whole first: the checksum is verified at an entry's end.
        self.content = _Unpickler(BytesIO(self.archive.read(pickles[0]))).load()

    def read(self, storage: _Storage) -> bytes:
        return self.archive.read(f"{self.folder}data/{storage.key}")


class _Stream:
    """The older container: pickled header, object and keys, then per storage its count and data."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream, self.size = stream, os.fstat(stream.fileno()).st_size
        header = (_Unpickler(stream).load(), _Unpickler(stream).load())
        if header != (STREAM_MAGIC, STREAM_PROTOCOL):
            raise ValueError("no PyTorch header")
        if not _Unpickler(stream).load()["little_endian"]:
            raise ValueError("written on a big-endian machine")
        unpickler = _Unpickler(stream)
        self.content = unpickler.load()
        self.offsets: dict[str, int] = {}
        for key in _Unpickler(stream).load():
            storage = unpickler.storages[key]
            (numel,) = struct.unpack("<q", stream.read(8))
            storage.check(numel * storage.dtype.itemsize, f"storage {key}")
            self.offsets[key] = stream.tell()
            stream.seek(numel * storage.dtype.itemsize, SEEK_CUR)

    def read(self, storage: _Storage) -> bytes:
        self.stream.seek(self.offsets[storage.key])
        return self.stream.read(storage.size)


def _assemble(container: _Container) -> ReferenceCheckpoint:
    match container.content:
        case {"args": _Inert() as args, "model": Mapping() as records}:
            return ReferenceCheckpoint(_settings(args.attributes), _tensors(records, container))
    raise ValueError("no entries args and model")


def _settings(attributes: object) -> dict[str, object]:
    """The trainer's settings. Raises ValueError for settings that repeat themselves so often that a message
    quoting them would not end."""
    if not isinstance(attributes, Mapping):
        raise ValueError("no settings")
    pending: list[object] = [attributes]
    count = 0
    while pending:
        value = pending.pop()
        inner = value.values() if isinstance(value, Mapping) else value
        if isinstance(inner, Collection) and not isinstance(inner, str | bytes):
            count += len(inner)
            if count > MOST_SETTINGS:
                raise ValueError(f"more than {MOST_SETTINGS} settings")
            pending += inner
        elif isinstance(inner, int) and inner.bit_length() > 64:
            raise ValueError("a setting of more than 64 bits")
    return {str(name): value for name, value in attributes.items()}


def _tensors(records: object, container: _Container) -> dict[str, Tensor]:
    if not isinstance(records, Mapping):
        raise ValueError("no named tensors")
    _check_sizes(records, container.size)
    storages: dict[str, Tensor] = {}
    return {str(name): _tensor(str(name), record, container, storages) for name, record in records.items()}


def _check_sizes(records: Mapping[object, object], file_size: int) -> None:
    """Raises UserError if the tensors are larger than the file."""
    named: Counter[_Storage] = Counter()
    for name, record in records.items():
        if not isinstance(record, _TensorRecord):
            raise ValueError(f"entry {name} is not a tensor")
        storage, count = record.storage, prod(record.shape)
        if not 0 < count <= storage.numel:
            raise ValueError(f"{name}: shape {record.shape}, but {storage.numel} numbers stored")
        named[storage] += count * storage.dtype.itemsize
        if named[storage] > MOST_SHARED * storage.size:
            raise UserError(
                f"refused: tensor {name} and others name a storage of {storage.size} bytes more than "
                f"{MOST_SHARED} times over, which no published checkpoint does"
            )
    if (total := sum(storage.size for storage in named)) > file_size:
        raise UserError(f"refused: tensors of {total} bytes in a file of {file_size}")


def _tensor(name: str, record: _TensorRecord, container: _Container, storages: dict[str, Tensor]) -> Tensor:
    """A view of its storage, which is read once; a copy if its elements are not in order there."""
    storage = record.storage
    if storage.key not in storages:
        data = bytearray(container.read(storage))
        storage.check(len(data), name)
        storages[storage.key] = torch.frombuffer(data, dtype=storage.dtype)
    return storages[storage.key].as_strided(record.shape, record.strides, record.offset).contiguous()
