"""Reading the published pickles: everything they may hold, and nothing else."""

import os
import random
import sys
import zipfile
from argparse import Namespace
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest
import torch

from hat.errors import UserError
from hat.interop import ReferenceCheckpoint, read_checkpoint
from tests.interop.published_checkpoint import Save, published_args, published_tensors

both_containers = pytest.mark.parametrize("zipped", [True, False])


class Payload:
    """Unpickled naively, makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.folder),)


def equal(a: ReferenceCheckpoint, b: ReferenceCheckpoint) -> bool:
    same = a.tensors.keys() == b.tensors.keys() and a.args == b.args
    return same and all(torch.equal(a.tensors[name], b.tensors[name]) for name in a.tensors)


@both_containers
def test_reads_settings_and_tensors(save: Save, zipped: bool) -> None:
    tensors = published_tensors()
    tensors["slice"] = torch.arange(20.0).view(4, 5).t()[1:3, ::2]
    args = published_args(arch="transformersuper")
    assert equal(read_checkpoint(save(tensors, args, zipped)), ReferenceCheckpoint(vars(args), tensors))


@both_containers
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool])
def test_reads_numbers_of_every_kind(save: Save, zipped: bool, dtype: torch.dtype) -> None:
    tensor = torch.tensor([[0, 1, 1], [2, 0, 3]]).to(dtype)
    assert torch.equal(read_checkpoint(save({"x": tensor}, zipped=zipped)).tensors["x"], tensor)


@both_containers
def test_reads_meters_of_a_training_under_way(
    save: Save, zipped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    meters = ModuleType("fairseq.meters")
    meters.AverageMeter = type("AverageMeter", (), {"__module__": "fairseq.meters"})  # type: ignore[attr-defined]
    for name, module in (("fairseq", ModuleType("fairseq")), ("fairseq.meters", meters)):
        monkeypatch.setitem(sys.modules, name, module)
    meter = meters.AverageMeter()
    meter.val = torch.tensor(1.5)
    assert read_checkpoint(save(zipped=zipped, train_meters={"gnorm": meter})).tensors


@both_containers
@pytest.mark.parametrize("place", ["args", "model", "extra_state"])
def test_refuses_other_objects_by_name_and_runs_none(
    save: Save, tmp_path: Path, zipped: bool, place: str
) -> None:
    payload = Payload(tmp_path / "made")
    args = published_args(hook=payload) if place == "args" else None
    tensors = {"x": payload} if place == "model" else None
    path = save(tensors, args, zipped, **({"hook": payload} if place == "extra_state" else {}))
    with pytest.raises(UserError, match=rf"model\.pt: refused: holds {os.mkdir.__module__}\.mkdir"):
        read_checkpoint(path)
    assert not (tmp_path / "made").exists()


@both_containers
def test_every_cut_is_noticed(save: Save, zipped: bool) -> None:
    path = save(zipped=zipped)
    data = path.read_bytes()
    whole = read_checkpoint(path)
    # The older container ends in storages that no tensor of the model needs.
    for size in range(0, len(data), 397):
        path.write_bytes(data[:size])
        if zipped:
            with pytest.raises(UserError):
                read_checkpoint(path)
        else:
            assert whole_or_refused(path, whole)


def test_every_damage_to_a_zip_is_noticed(save: Save) -> None:
    path = save()
    data, whole, rng = path.read_bytes(), read_checkpoint(path), random.Random(0)
    for position in (rng.randrange(6000 if n % 2 else len(data)) for n in range(400)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        assert whole_or_refused(path, whole), position


def test_damage_to_the_older_container_raises_nothing_else(save: Save) -> None:
    path = save(zipped=False)
    data, rng = path.read_bytes(), random.Random(0)
    for _ in range(400):
        damaged = bytearray(data)
        damaged[rng.randrange(6000)] ^= 1 << rng.randrange(8)  # the pickles, which come first
        path.write_bytes(damaged)
        with suppress(UserError):
            read_checkpoint(path)


def whole_or_refused(path: Path, whole: ReferenceCheckpoint) -> bool:
    try:
        return equal(read_checkpoint(path), whole)
    except UserError as error:
        return len(str(error).splitlines()) == 1


def test_refuses_what_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with pytest.raises(UserError, match=r"model\.pt: No such file"):
        read_checkpoint(path)
    with pytest.raises(UserError, match="Is a directory"):
        read_checkpoint(tmp_path)
    for content in (b"", b"guten Tag\n", b"PK\x03\x04", bytes(range(256))):
        path.write_bytes(content)
        with pytest.raises(UserError, match="not a published checkpoint"):
            read_checkpoint(path)
    for value in ([1, 2], {"model": {}}, {"args": Namespace(), "model": {"x": 1}}):
        torch.save(value, path)
        with pytest.raises(UserError, match="not a published checkpoint"):
            read_checkpoint(path)


def test_refuses_compressed_zips(save: Save) -> None:
    path = save()
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    with pytest.raises(UserError, match="compressed"):
        read_checkpoint(path)
