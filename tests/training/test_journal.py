"""The journal: curves that TensorBoard reads, cut back to the checkpoint, and a full disk as one error."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hat.disk import Room
from hat.errors import DiskFull
from hat.training import train
from hat.training.journal import Journal, Position
from tests.small_disk import small_disk
from tests.training.tiny import settings, stores, sub


def write(journal: Journal, update: int, loss: float) -> None:
    position = Position(update)
    journal.update(position, loss=loss, norm=2.0, tokens=100, seconds=0.5, learning_rate=0.5)


def curve(folder: Path, tag: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    return [(scalar.step, scalar.value) for scalar in events.Scalars(tag)]


def test_tensorboard_reads_every_value(tmp_path: Path) -> None:
    journal = Journal(tmp_path, Position())
    for update in (1, 2):
        write(journal, update, 1 / update)
    journal.validation(Position(2, history=[{"update": 2, "loss": 0.25, "model": 0.125}]))
    assert curve(tmp_path, "train/loss") == [(1, 1.0), (2, 0.5)]
    assert curve(tmp_path, "train/gradient_norm") == [(1, 2.0), (2, 2.0)]
    assert curve(tmp_path, "train/learning_rate") == [(1, 0.5), (2, 0.5)]
    assert curve(tmp_path, "train/tokens_per_second") == [(1, 200.0), (2, 200.0)]
    assert curve(tmp_path, "valid/loss") == [(2, 0.25)]
    assert curve(tmp_path, "valid/model") == [(2, 0.125)]


def test_a_resumed_training_replaces_the_values_beyond_its_checkpoint(tmp_path: Path) -> None:
    killed = Journal(tmp_path, Position())
    for update in (1, 2, 3):
        write(killed, update, 1.0)
    write(Journal(tmp_path, Position(2)), 3, 0.5)
    # TensorBoard drops from the checkpoint's own step on, as with SummaryWriter's purge_step.
    assert curve(tmp_path, "train/loss") == [(1, 1.0), (3, 0.5)]
    assert [line.split(",")[0] for line in (tmp_path / "log.jsonl").read_text("utf-8").splitlines()] == [
        '{"update": 1',
        '{"update": 2',
        '{"update": 3',
    ]


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_full_disk_is_one_error_and_none_of_another_thread(tmp_path: Path) -> None:
    texts = stores(tmp_path)
    plan = settings(updates=500, validate_every=500, checkpoint_every=500)  # the journal is the first to fail
    with small_disk(tmp_path / "disk", 4 << 20) as disk:

        def fill(done: float, total: float, note: str) -> None:
            if done == 3:
                with pytest.raises(OSError, match="No space"):
                    (disk / "ballast").write_bytes(bytes(4 << 20))

        with pytest.raises(DiskFull, match="the disk is full"), Room(disk):
            train(sub(), texts, settings=plan, folder=disk / "run", progress=fill)
