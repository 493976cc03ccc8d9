"""Trouble during a training: damaged checkpoints and snapshots, a full disk, kills at any moment."""

import json
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hat.data import TokenStore
from hat.errors import DiskFull, UserError
from hat.training import Stopped, Trainee, TrainingSettings, train
from hat.training.checkpoint import load_tensors, save_tensors
from hat.training.validation import Validator
from tests.small_disk import small_disk
from tests.training.tiny import RESULTS, stores, sub
from tests.training.tiny import settings as tiny_settings

Texts = tuple[TokenStore, TokenStore]
NEWEST, BEFORE = "checkpoint.safetensors", "checkpoint-before.safetensors"


def settings(**changes: object) -> TrainingSettings:
    return tiny_settings(threads=1, **changes)


class KilledError(Exception):
    pass


def kill_at(update: int) -> Callable[[float, float, str], None]:
    """Ends a training without warning after an update; what lies on the disk then is all there is."""

    def progress(done: float, total: float, note: str) -> None:
        if done == update:
            raise KilledError

    return progress


def disturb_after(updates: int, *, gently: bool) -> Callable[[float, float, str], None]:
    """Ends a training after a number of updates: by a signal, or without warning."""
    left = iter(range(updates - 1, -1, -1))

    def progress(done: float, total: float, note: str) -> None:
        if next(left, 0) == 0:
            if not gently:
                raise KilledError
            os.kill(os.getpid(), signal.SIGTERM)

    return progress


def killed_or_stopped(
    trainee: Trainee,
    texts: Texts,
    folder: Path,
    disturb: Callable[[float, float, str], None],
    plan: TrainingSettings | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> bool:
    """Train until the disturbance; False if the training had ended before."""
    try:
        plan = plan or settings()
        train(trainee, texts, settings=plan, folder=folder, progress=disturb, say=say)
    except (KilledError, Stopped):
        return True
    return False


def killed(folder: Path, texts: Texts, update: int, plan: TrainingSettings | None = None) -> None:
    with pytest.raises(KilledError):
        train(sub(), texts, settings=plan or settings(), folder=folder, progress=kill_at(update))


def update_of(path: Path) -> int:
    return int(load_tensors(path)[1]["update"])


def check_same(folder: Path, whole: Path) -> None:
    for name in RESULTS:
        assert (folder / name).read_bytes() == (whole / name).read_bytes()


def cut_short(content: bytes) -> bytes:
    return content[: len(content) // 2]


def without_a_byte(content: bytes) -> bytes:
    return content[:-1]


def changed_in_a_tensor(content: bytes) -> bytes:
    return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]


def changed_in_its_position(content: bytes) -> bytes:
    return content.replace(b'\\"update\\": 10', b'\\"update\\": 11')


def empty(content: bytes) -> bytes:
    return b""


DAMAGES = (empty, cut_short, without_a_byte, changed_in_a_tensor, changed_in_its_position)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Texts:
    return stores(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, texts: Texts) -> Path:
    """The folder of an undisturbed training."""
    folder = tmp_path_factory.mktemp("whole")
    train(sub(), texts, settings=settings(), folder=folder)
    return folder


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_checkpoint_costs_the_updates_since_the_one_before(
    tmp_path: Path, texts: Texts, whole: Path, damage: Callable[[bytes], bytes]
) -> None:
    plan = settings(checkpoint_every=5)
    killed(tmp_path, texts, 12, plan)
    assert [update_of(tmp_path / name) for name in (NEWEST, BEFORE)] == [10, 5]
    content = (tmp_path / NEWEST).read_bytes()
    assert damage(content) != content
    (tmp_path / NEWEST).write_bytes(damage(content))
    said: list[str] = []
    train(sub(), texts, settings=plan, folder=tmp_path, say=said.append)
    (line,) = said
    assert line.startswith(f"{tmp_path / NEWEST}: damaged checkpoint (")
    assert line.endswith("goes on from the one before it, of update 5; updates 6 to 12 are made again")
    check_same(tmp_path, whole)


def test_two_damaged_checkpoints_are_an_error_that_says_what_to_do(tmp_path: Path, texts: Texts) -> None:
    killed(tmp_path, texts, 10)
    for name in (NEWEST, BEFORE):
        (tmp_path / name).write_bytes(b"?")
    with pytest.raises(
        UserError, match=f"{NEWEST} and .*{BEFORE}, are both damaged .*; delete both to train"
    ):
        train(sub(), texts, settings=settings(), folder=tmp_path)
    assert (tmp_path / NEWEST).exists(), "nothing is deleted where nothing is gained by it"


def test_a_kill_between_the_two_renames_of_a_checkpoint_is_no_damage(
    tmp_path: Path, texts: Texts, whole: Path
) -> None:
    killed(tmp_path, texts, 10)
    (tmp_path / NEWEST).replace(tmp_path / BEFORE)
    said: list[str] = []
    train(sub(), texts, settings=settings(), folder=tmp_path, say=said.append)
    check_same(tmp_path, whole)
    assert not said


def test_a_disk_that_is_full_at_a_checkpoint_costs_nothing_but_the_updates_since_the_one_before(
    tmp_path: Path, texts: Texts, whole: Path
) -> None:
    with small_disk(tmp_path / "disk", 8 << 20) as disk:
        folder, ballast = disk / "run", disk / "ballast"

        def fill(done: float, total: float, note: str) -> None:
            if done == 11:  # the next update writes a checkpoint; the journal has room
                free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
                ballast.write_bytes(bytes(free - 20_000))

        with pytest.raises(DiskFull, match=rf"^\S+/{NEWEST}: the disk is full; make room and run it again$"):
            train(sub(), texts, settings=settings(), folder=folder, progress=fill)
        assert [update_of(folder / name) for name in (NEWEST, BEFORE)] == [8, 4]
        ballast.unlink()
        train(sub(), texts, settings=settings(), folder=folder)
        check_same(folder, whole)


def test_killed_or_stopped_at_random_updates_a_training_ends_in_the_same_bytes(
    tmp_path: Path, texts: Texts, whole: Path
) -> None:
    rng, stops = random.Random(0), 0
    for _ in range(12):
        disturb = disturb_after(rng.randint(1, 9), gently=rng.random() < 0.5)
        stops += killed_or_stopped(sub(), texts, tmp_path, disturb)
    assert stops > 3
    train(sub(), texts, settings=settings(), folder=tmp_path)
    check_same(tmp_path, whole)


def test_a_pruned_best_snapshot_is_not_needed_again(
    tmp_path: Path, texts: Texts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that goes on with other arithmetic, as on a GPU, may not be as good as before again."""
    plan = settings(validate_every=2, checkpoint_every=5, average=1)
    killed(tmp_path, texts, 9, plan)  # the newest checkpoint knows of the validations until update 4
    updates = {int(path.stem.rpartition("-")[2]) for path in tmp_path.glob("snapshot-*")}
    assert updates == {4, 8}, "2 and 6 are the best of no position from which the training may go on"
    monkeypatch.setattr(Validator, "_losses", lambda self, position: {"model": 5.0})
    result = train(sub(), texts, settings=plan, folder=tmp_path)
    assert min(result.history, key=lambda record: record["loss"])["update"] == 4


def test_a_damaged_snapshot_is_left_out_of_the_average(tmp_path: Path, texts: Texts) -> None:
    plan = settings(updates=21, average=3, learning_rate=1e-4)
    killed(tmp_path, texts, 20, plan)
    (tmp_path / "snapshot-14.safetensors").write_bytes(b"?")
    said: list[str] = []
    result = train(sub(), texts, settings=plan, folder=tmp_path, say=said.append)
    assert result.kept in ("average of updates 7, 21", "update 21")
    (line,) = said
    assert line.startswith(f"{tmp_path}/snapshot-14.safetensors: damaged snapshot (")


def test_without_a_whole_snapshot_a_training_cannot_end(tmp_path: Path, texts: Texts) -> None:
    killed(tmp_path, texts, 29)
    for path in tmp_path.glob("snapshot-*"):
        path.write_bytes(b"?")
    with pytest.raises(UserError, match="no snapshot of the weights is whole; delete the folder"):
        train(sub(), texts, settings=settings(updates=28), folder=tmp_path)


def test_a_checkpoint_of_an_earlier_version_without_checksums_is_read(
    tmp_path: Path, texts: Texts, whole: Path
) -> None:
    killed(tmp_path, texts, 10)
    tensors, metadata = load_tensors(tmp_path / NEWEST)
    earlier = {key: metadata[key] for key in ("update", "epoch", "batch", "tokens", "history")}
    save_tensors(tmp_path / NEWEST, tensors, earlier)
    train(sub(), texts, settings=settings(), folder=tmp_path)
    check_same(tmp_path, whole)


def test_a_training_that_has_ended_leaves_no_checkpoints(whole: Path) -> None:
    assert sorted(path.name for path in whole.iterdir()) == [
        "log.jsonl",
        "model.safetensors",
        "tensorboard",
        "threads.json",
        "training.json",
    ]
    assert json.loads((whole / "training.json").read_text())["updates"] == 30
    assert all(torch.isfinite(one).all() for one in load_tensors(whole / "model.safetensors")[0].values())
