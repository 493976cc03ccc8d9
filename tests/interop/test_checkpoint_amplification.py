"""A small checkpoint stays small in memory: what names a part of itself over and over is refused."""

import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import torch

from hat.errors import UserError
from hat.interop import read_checkpoint
from hat.interop.checkpoint import _check_sizes, _Storage, _TensorRecord, read_state_dict
from tests.interop.published_checkpoint import Save, published_args, published_tensors

both_containers = pytest.mark.parametrize("zipped", [True, False])


@both_containers
def test_a_storage_named_a_thousand_times_is_refused(save: Save, zipped: bool) -> None:
    tensor = torch.zeros(100, 100)
    views = {
        "same": [tensor] * 1000,
        "turned": [tensor.t()] * 1000,
        "repeated": [tensor[:1].expand(100, 100)] * 1000,
    }
    for some in views.values():
        path = save({f"tensor.{index}": one for index, one in enumerate(some)}, zipped=zipped)
        with pytest.raises(
            UserError, match=r"refused: tensor tensor\.3 .*40000 bytes more than 3 times over"
        ):
            read_checkpoint(path)


@both_containers
def test_a_predictors_storage_is_named_once_or_refused(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "predictor.pt"
    tensor = torch.zeros(1000)
    torch.save({str(i): tensor for i in range(50)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match="more than 3 times over"):
        read_state_dict(path)


@both_containers
def test_tied_embeddings_are_read_once(save: Save, zipped: bool) -> None:
    tensors = published_tensors()
    tensors["decoder.embed_out"] = tensors["decoder.embed_tokens.weight"]
    found = read_checkpoint(save(tensors, zipped=zipped)).tensors
    names = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "decoder.embed_out")
    assert len({found[name].data_ptr() for name in names}) == 1


@both_containers
def test_settings_that_repeat_themselves_are_refused(save: Save, zipped: bool) -> None:
    many: list[object] = []
    for _ in range(60):
        many = [many, many]
    for args in (published_args(dropout=many), published_args(arch=many), published_args(lr=10**400)):
        # A message with the repr of all of it would not end.
        with pytest.raises(UserError, match=r"more than \d+ settings|a setting of more than 64 bits"):
            read_checkpoint(save(args=args, zipped=zipped))


def forged(folder: Path, code: bytes) -> Path:
    """A checkpoint whose pickle is `code`."""
    path = folder / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", code)
        archive.writestr("model/data/0", bytes(400))
    return path


START = pickle.PROTO + b"\x04"
ORDERED_DICT = b"ccollections\nOrderedDict\n"
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"
PAIRS = b"(" + b"K\x01K\x02\x86" * 2000 + b"l"  # a list of 2,000 pairs


@pytest.mark.parametrize(
    "code",
    [
        pickle.BYTEARRAY8 + struct.pack("<Q", 1 << 33),  # reserves 8 GiB, and fills them
        pickle.BINUNICODE8 + struct.pack("<Q", 1 << 33),
        # OrderedDict(pairs), over and over
        PAIRS + b"q\x000" + (ORDERED_DICT + b"h\x00\x85R") * 5000,
        # the state of one mapping given to many
        b"}q\x01" + b"(" + b"".join(b"X\x04\0\0\0%04dN" % i for i in range(2000)) + b"u0"
        + (ORDERED_DICT + b")Rh\x01b") * 5000,
        # a shape that a product repeats
        TENSOR + b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuKdtQK\0"
        + b"J\xff\xff\xff\x7fX\x01\0\0\0a\x86)tR",
    ],
)  # fmt: skip
def test_a_pickle_takes_no_more_memory_than_its_file(tmp_path: Path, code: bytes) -> None:
    path = forged(tmp_path, START + code + b".")
    tracemalloc.start()
    with pytest.raises(UserError, match="not a published checkpoint"):
        read_checkpoint(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6


def test_storages_larger_than_the_file_are_refused() -> None:
    """Entries of a zip may lie within each other."""
    storages = (_Storage(torch.float32, str(key), 100) for key in range(3))
    records = {storage.key: _TensorRecord(storage, 0, (10, 10), (10, 1)) for storage in storages}
    _check_sizes(records, 1200)
    with pytest.raises(UserError, match="refused: tensors of 1200 bytes in a file of 1199"):
        _check_sizes(records, 1199)
