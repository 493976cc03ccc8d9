"""Threads of a training: chosen by a measurement that changes nothing, recorded, the same when resumed."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
import torch
from pydantic import ValidationError

from hat.errors import HatError, UserError
from hat.pipeline.models.training import training_inputs
from hat.training import Trainee, train
from hat.training import threads as module
from hat.training.threads import RARELY, RECORD, TrainingThreads, chosen, measure, start_threads, use_threads
from tests.training.tiny import RESULTS, settings, stores, sub, supernet

CORES = 8


class Clock:
    """A machine with an invented clock: a trial takes as long as `seconds` says of the threads in use."""

    def __init__(self, seconds: dict[int, float]) -> None:
        self.now, self.seconds = 0.0, seconds
        self.trials: list[int] = []
        self.threads = 1

    def trial(self, number: int) -> None:
        self.trials.append(self.threads)
        self.now += self.seconds[self.threads]

    def use(self, count: int) -> None:
        self.threads = count


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Eight cores, nothing said by the user; PyTorch's own number of threads stays as it is."""
    clock = Clock({1: 0.040, 2: 0.025, 4: 0.020, 8: 0.030})
    monkeypatch.setattr(module, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(module, "_set", clock.use)
    monkeypatch.setattr(module, "available_threads", lambda: CORES)
    monkeypatch.setattr(module, "own_threads", lambda: None)
    return clock


@pytest.fixture
def torch_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_the_fastest_number_of_threads_is_used(clock: Clock, tmp_path: Path) -> None:
    assert use_threads(tmp_path, "auto", clock.trial) == clock.threads == 4
    record = json.loads((tmp_path / RECORD).read_text())
    assert (record["threads"], record["measured"]) == (4, True)


def test_times_are_medians(clock: Clock) -> None:
    assert measure([8, 4, 2, 1], clock.trial) == pytest.approx({8: 0.030, 4: 0.020, 2: 0.025})


def test_fewer_threads_are_as_good_within_the_noise() -> None:
    assert chosen({8: 1.0, 4: 1.04, 2: 1.2}) == 4
    assert chosen({2: 1.0, 1: 1.06}) == 2


def test_threads_are_measured_in_turn_and_the_hopeless_given_up(clock: Clock) -> None:
    clock.seconds = {1: 1.0, 2: 0.05, 4: 0.021, 8: 0.020}
    assert measure([8, 4, 2, 1], clock.trial).keys() == {8, 4}
    assert 1 not in clock.trials
    assert clock.trials[6:10] == [8, 4, 8, 4]


def test_a_large_network_is_not_measured_for_long(clock: Clock) -> None:
    clock.seconds = {1: 100.0, 2: 60.0, 4: 30.0, 8: 20.0}
    assert chosen(measure([8, 4, 2, 1], clock.trial)) == 8
    assert clock.trials == [8, 8, 4, 4, 2, 2, 8, 4]


def test_a_core_of_its_own_needs_no_measurement(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "available_threads", lambda: 1)
    assert use_threads(tmp_path, "auto", clock.trial) == 1
    assert clock.trials == []


def test_the_record_decides_when_resumed(clock: Clock, tmp_path: Path) -> None:
    use_threads(tmp_path, "auto", clock.trial)
    measured = list(clock.trials)
    clock.seconds = {1: 0.001, 2: 1.0, 4: 1.0, 8: 1.0}  # the machine is busy now
    assert use_threads(tmp_path, "auto", clock.trial) == 4
    assert clock.trials == measured


@pytest.mark.parametrize("elsewhere", ["processor", "cores"])
def test_another_machine_measures_anew(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: str
) -> None:
    use_threads(tmp_path, "auto", clock.trial)
    if elsewhere == "processor":
        monkeypatch.setattr(module, "processor", lambda: "Z80")
        clock.seconds[8] = 0.001
    else:
        monkeypatch.setattr(module, "available_threads", lambda: 2)
    expected = 8 if elsewhere == "processor" else 2
    assert use_threads(tmp_path, "auto", clock.trial) == expected
    assert json.loads((tmp_path / RECORD).read_text())["threads"] == expected


def test_what_the_user_says_wins(clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_threads(tmp_path, "auto", clock.trial)
    measured = list(clock.trials)
    monkeypatch.setattr(module, "own_threads", lambda: 3)
    assert use_threads(tmp_path, "auto", clock.trial) == 3
    assert use_threads(tmp_path, 7, clock.trial) == 7
    assert clock.trials == measured
    monkeypatch.setattr(module, "own_threads", lambda: None)
    assert use_threads(tmp_path, "auto", clock.trial) == 7, "as it was gone on with"


@pytest.mark.parametrize("content", ['{"threads": 0, "processor": "", "measured": true}', "[]", "{"])
def test_a_damaged_record_is_named(clock: Clock, tmp_path: Path, content: str) -> None:
    (tmp_path / RECORD).write_text(content)
    with pytest.raises(UserError, match=RECORD):
        use_threads(tmp_path, "auto", clock.trial)


@pytest.mark.parametrize("make", [sub, supernet])
def test_a_measurement_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torch_threads: None, make: type[Trainee]
) -> None:
    """The same bytes as without one, also where it has to be made again after a kill."""
    texts = stores(tmp_path)
    train(make(), texts, settings=settings(threads=1), folder=tmp_path / "said")
    monkeypatch.setattr(module, "own_threads", lambda: None)
    monkeypatch.setattr(module, "available_threads", lambda: 2)
    monkeypatch.setattr(module, "chosen", lambda times: 1 if len(times) > 1 else 2)
    monkeypatch.setattr(module, "HOPELESS", 1e9)

    def die(done: float, total: float, note: str) -> None:
        if done == 6:
            (tmp_path / "measured" / RECORD).unlink()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(make(), texts, settings=settings(), folder=tmp_path / "measured", progress=die)
    train(make(), texts, settings=settings(), folder=tmp_path / "measured")
    assert json.loads((tmp_path / "measured" / RECORD).read_text())["measured"]
    for name in RESULTS:
        assert (tmp_path / "said" / name).read_bytes() == (tmp_path / "measured" / name).read_bytes()


def updates(threads: TrainingThreads, clock: Clock, count: int = 1000) -> None:
    """Some updates, each as long as a trial, as a training does them."""
    for _ in range(count):
        with threads.update():
            clock.now += clock.seconds[clock.threads]
        if threads.due:
            threads.measure_again()


def test_a_machine_that_has_become_busy_is_measured_again_at_a_checkpoint(
    clock: Clock, tmp_path: Path
) -> None:
    threads = TrainingThreads(tmp_path, "auto", clock.trial)
    updates(threads, clock)
    assert clock.threads == 4
    measured = list(clock.trials)
    clock.seconds = {1: 0.045, 2: 0.080, 4: 0.090, 8: 0.300}
    updates(threads, clock)
    assert len(clock.trials) > len(measured)
    assert clock.threads == json.loads((tmp_path / RECORD).read_text())["threads"] == 1


def test_updates_that_take_much_the_same_time_are_not_measured_again(clock: Clock, tmp_path: Path) -> None:
    threads = TrainingThreads(tmp_path, "auto", clock.trial)
    measured = list(clock.trials)
    for seconds in (0.020, 0.024, 0.021, 0.029):
        clock.seconds = {4: seconds}
        updates(threads, clock)
    assert clock.trials == measured


def test_now_and_then_a_machine_may_have_become_idle(clock: Clock, tmp_path: Path) -> None:
    clock.seconds = {1: 0.045, 2: 0.080, 4: 0.090, 8: 0.300}
    threads = TrainingThreads(tmp_path, "auto", clock.trial)
    updates(threads, clock)
    assert clock.threads == 1
    clock.seconds = {1: 0.040, 2: 0.025, 4: 0.020, 8: 0.030}
    updates(threads, clock)
    assert clock.threads == 1, "on one thread it is hardly faster"
    clock.now += RARELY
    updates(threads, clock)
    assert clock.threads == 4


def test_threads_that_the_user_chose_are_not_measured_again(clock: Clock, tmp_path: Path) -> None:
    threads = TrainingThreads(tmp_path, 2, clock.trial)
    updates(threads, clock)
    clock.seconds = {2: 9.0}
    updates(threads, clock)
    assert (clock.threads, clock.trials) == (2, [])


def test_a_killed_training_goes_on_with_the_threads_that_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torch_threads: None
) -> None:
    texts = stores(tmp_path)
    monkeypatch.setattr(module, "own_threads", lambda: None)
    monkeypatch.setattr(module, "available_threads", lambda: 2)
    # After every fourth update the threads are measured again.
    for name, value in {"SLOWER": 0.0, "WINDOW_UPDATES": 4, "WINDOW_SECONDS": 0.0}.items():
        monkeypatch.setattr(module, name, value)

    def trained(folder: Path, die_at: int | None) -> list[tuple[float, int]]:
        """The number of threads after each update; it changes with each measurement."""
        seen = dict[float, int]()
        choices = itertools.cycle((1, 2))
        monkeypatch.setattr(module, "chosen", lambda times: next(choices))

        def look(done: float, total: float, note: str) -> None:
            seen[done] = torch.get_num_threads()
            if done == die_at:
                raise KeyboardInterrupt

        if die_at is not None:
            with pytest.raises(KeyboardInterrupt):
                train(
                    sub(),
                    texts,
                    settings=settings(updates=16, checkpoint_every=100),
                    folder=folder,
                    progress=look,
                )
            die_at = None
        train(
            sub(),
            texts,
            settings=settings(updates=16, checkpoint_every=100),
            folder=folder,
            progress=look,
        )
        return sorted(seen.items())

    undisturbed = trained(tmp_path / "undisturbed", None)
    assert [threads for _, threads in undisturbed] == 3 * [1] + 4 * [2] + 4 * [1] + 4 * [2] + [1]
    assert trained(tmp_path / "killed", 6) == undisturbed
    for name in RESULTS:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()


def test_a_training_uses_its_threads(tmp_path: Path, torch_threads: None) -> None:
    texts = stores(tmp_path)
    seen = set()

    def look(done: float, total: float, note: str) -> None:
        seen.add(torch.get_num_threads())

    train(sub(), texts, settings=settings(threads=2, updates=3), folder=tmp_path / "run", progress=look)
    assert seen == {2}


def test_threads_that_the_system_refuses_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenMP would end the process."""

    def refuse(thread: Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Thread, "start", refuse)
    with pytest.raises(HatError, match="this process start 1 of 5 threads; use fewer"):
        use_threads(tmp_path, 5, lambda number: None)
    assert not (tmp_path / RECORD).exists()


def test_work_that_is_not_measured_stays_within_a_quota(
    monkeypatch: pytest.MonkeyPatch, torch_threads: None
) -> None:
    torch.set_num_threads(2)  # as PyTorch counts cores
    monkeypatch.setattr(module, "own_threads", lambda: None)
    monkeypatch.setattr(module, "available_threads", lambda: 1)
    assert start_threads() == 1
    monkeypatch.setattr(module, "own_threads", lambda: 3)
    assert start_threads() == 3


@pytest.mark.parametrize("value", [0, -1, 1025, 1.5, True, "two", None])
def test_other_numbers_of_threads_are_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="neither auto nor a whole number from 1 to 1024"):
        settings(threads=value)


def test_a_finished_training_stands_whatever_the_threads() -> None:
    assert training_inputs(settings(threads=3)) == training_inputs(settings())
