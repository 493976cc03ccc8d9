"""Writers on a disk that fills up: one line says so, and what was there stays whole."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from hat.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer, ModelConfig
from hat.data.store import write_store
from hat.disk import Room, has_no_room, is_full
from hat.errors import DiskFull
from hat.export.deploy import deploy
from hat.files import write_json
from hat.hardware import MeasurementStore, MeasureProtocol
from hat.runtime import Artefact
from hat.runtime.weights.tensor_file import write_tensors
from hat.search.memo import Memo
from hat.training.checkpoint import save_tensors
from tests.small_disk import can_mount, resize, small_disk

if not can_mount():
    pytest.skip("no small file system can be mounted here", allow_module_level=True)

ARCHITECTURE = Architecture(64, Encoder(64, (EncoderLayer(64, 2),)), Decoder(64, (DecoderLayer(64, 2, 2),)))
PROTOCOL = MeasureProtocol((10,), (12,))
ROOM = 256 << 10


@pytest.fixture(scope="module")
def artefact() -> Artefact:
    return Artefact.random(ModelConfig(ARCHITECTURE, 500, 500), seed=0)


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A disk with less room than any of the models needs."""
    with small_disk(tmp_path / "disk", ROOM) as folder:
        yield folder


def append_losses(folder: Path) -> None:
    with Memo(folder / "losses") as memo:
        for layers in range(1, 2000):
            memo.loss(Architecture(64 * layers, ARCHITECTURE.encoder, ARCHITECTURE.decoder), lambda one: 1.0)


WRITERS: dict[str, Callable[[Path, Artefact], object]] = {
    "artefact": lambda folder, artefact: artefact.save(folder / "out"),
    "onnx": lambda folder, artefact: deploy(artefact, folder / "out", "onnx"),
    "checkpoint": lambda folder, _: save_tensors(folder / "out", {"weight": torch.ones(1 << 20)}),
    "json": lambda folder, _: write_json(folder / "out", list(range(1 << 16))),
    "losses": lambda folder, _: append_losses(folder),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_disk_that_fills_up_is_one_line_and_leaves_nothing_half_written(
    full: Path, artefact: Artefact, writer: str
) -> None:
    with pytest.raises(DiskFull, match=r"^/[^\n]*: the disk is full; make room and run it again$"):
        WRITERS[writer](full, artefact)
    assert not (full / "out").exists()
    assert not list(full.rglob("*hat-unfinished"))


def test_a_full_disk_leaves_the_model_that_was_there(full: Path, artefact: Artefact) -> None:
    small = Artefact.random(ModelConfig(ARCHITECTURE, 10, 10), 0).at_precision("int8")
    small.save(full / "model")
    with pytest.raises(DiskFull):
        artefact.save(full / "model")
    assert Artefact.load(full / "model").config == small.config
    assert [path.name for path in full.iterdir()] == ["model"]


def test_a_token_store_on_a_full_disk_is_not_there(full: Path) -> None:
    chunks = (([[1, 2, 3]] * 1000, [[4, 5]] * 1000) for _ in range(100))
    with pytest.raises(DiskFull), Room(full):
        write_store(full / "train", chunks, (100, 100))
    assert list(full.iterdir()) == []


def test_tensors_on_a_full_disk_say_so(full: Path) -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        write_tensors(full / "x", {"weight": np.ones(1 << 20, np.float32)}, {"weight": ("F32", (1 << 20,))})
    assert is_full(caught.value)
    assert has_no_room(full)


def test_measurements_on_a_disk_that_fills_up_stay_readable(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1 << 20) as folder:
        with closing(MeasurementStore(folder / "m.sqlite")) as store:

            def measure_on() -> None:
                for number in range(10_000):
                    store.begin(f"device-{number}", {"cpu": "x" * 1000}, PROTOCOL)

            with pytest.raises(DiskFull, match=r"m\.sqlite: the disk is full"):
                measure_on()
            resize(folder, 8 << 20)
            store.begin("later", {"cpu": "x"}, PROTOCOL)
        with pytest.raises(KeyError), closing(MeasurementStore(folder / "m.sqlite")) as store:
            store.environment("series", "later")
