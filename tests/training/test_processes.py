"""The number of processes: asked for, measured, or recorded; and the same training with it."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from hat.data import TokenStore
from hat.errors import UserError
from hat.pipeline.models.training import training_inputs
from hat.training import Task, Trainee, processes, threads, train
from hat.training.distributed import ALONE, World
from hat.training.processes import RECORD, Rehearsal, world_of
from tests.training.tiny import RESULTS, lessons, settings, stores, sub, supernet


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return Task(sub(), stores(tmp_path), settings(processes="auto"))


def unused(task: Task) -> processes.Update:
    raise AssertionError("something was measured")


def nothing(world: World, task: Task) -> None:
    """The work of no other process."""


def size(task: Task, folder: Path, rehearsal: Rehearsal = unused) -> int:
    with world_of(task, folder, work=nothing, rehearsal=rehearsal) as world:
        return world.size


def test_one_process_is_not_measured(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "own_threads", lambda: 1)
    assert size(task, tmp_path) == 1
    assert json.loads((tmp_path / RECORD).read_text())["processes"] == 1


def test_the_recorded_number_decides(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []
    monkeypatch.setattr(processes, "_best", lambda task, rehearsal: measured.append(1) or 1)
    assert [size(task, tmp_path) for _ in range(3)] == [1, 1, 1]
    assert measured == [1]


def test_a_damaged_record_is_named(task: Task, tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text('{"processes": 0, "processor": "", "measured": true}')
    with pytest.raises(UserError, match=rf"{RECORD}: processes: 0 is not a positive whole number"):
        size(task, tmp_path)


def test_more_processes_than_gpus_are_refused(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert size(task, tmp_path) == 1, "one for each"
    asked = Task(task.trainee, task.texts, settings(processes=2))
    with pytest.raises(UserError, match=r"processes: 2, but this machine has 1 GPU"):
        size(asked, tmp_path)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "two", None])
def test_other_numbers_of_processes_are_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="neither auto nor a whole number"):
        settings(processes=value)


def test_a_finished_training_stands_whatever_the_processes() -> None:
    assert training_inputs(settings(processes=3)) == training_inputs(settings())
    assert training_inputs(settings(exchange_precision="bf16")) != training_inputs(settings())
    assert "exchange_precision" not in training_inputs(settings()), "as before there was such a setting"


def test_texts_and_labels_are_opened_and_not_copied_by_other_processes(tmp_path: Path) -> None:
    """`multiprocessing` pickles the task for the other processes."""
    text, valid = stores(tmp_path)
    labels = lessons(sub().module, tmp_path, text, valid)
    sent = pickle.dumps((text, valid, labels))
    assert len(sent) < 2000
    opened, _, (lesson, _) = pickle.loads(sent)
    assert isinstance(opened, TokenStore)
    assert opened.digest == text.digest
    assert (lesson.labels.ids == labels[0].labels.ids).all()


def test_measured_processes_train_as_those_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is fastest here, two processes are chosen; the measurement changes nothing."""
    texts = stores(tmp_path)
    monkeypatch.setattr(processes, "own_threads", lambda: 2)
    monkeypatch.setattr(processes, "chosen", max)
    monkeypatch.setattr(threads, "HOPELESS", 1e9)

    def trained(name: str, **changes: object) -> Trainee:
        trainee = supernet()
        plan = settings(updates=6, **changes)
        train(trainee, texts, settings=plan, folder=tmp_path / name, progress=no_progress)
        return trainee

    trained("measured", processes="auto")
    assert json.loads((tmp_path / "measured" / RECORD).read_text())["processes"] == 2
    trained("asked", processes=2, threads=1)
    for name in RESULTS:
        assert (tmp_path / "measured" / name).read_bytes() == (tmp_path / "asked" / name).read_bytes()


def no_progress(done: float, total: float, note: str) -> None:
    """Nothing."""


def test_a_process_alone_has_everything() -> None:
    assert ALONE.sums(1.5, 2) == [1.5, 2]
    assert ALONE.from_main({"a": 1}) == {"a": 1}
    assert ALONE.largest(15) == 15
