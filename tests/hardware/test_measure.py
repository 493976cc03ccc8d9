"""Measuring an invented device: drift, intervals, resumption, a lost device, other machines."""

import random
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hat.architecture import Architecture, ModelConfig
from hat.errors import UserError
from hat.hardware import InventedBench, Measurement, MeasurementStore, MeasureProtocol, Series, Timer, measure
from hat.hardware.device.bench import Timing
from hat.hardware.device.link import LinkLost
from hat.hardware.measuring.measure import BUSY_ROUNDS, FIRST_ROUNDS
from hat.hardware.measuring.store import model_key
from hat.intervals import FEWEST_ROUNDS
from hat.progress import Progress, silent

Models = list[ModelConfig]
PROTOCOL = MeasureProtocol((10, 30), (12, 28), rounds=12, warmup=1)
# Rounds with a first step timed, as calls: four rounds of three calls more.
CALLS = FEWEST_ROUNDS + FIRST_ROUNDS


def law(architecture: Architecture, pair: tuple[int, int]) -> float:
    """Milliseconds a decode would take on a steady machine."""
    source, target = pair
    width = sum(layer.ffn_dim for layer in architecture.decoder.layers) / 100
    return len(architecture.encoder.layers) * source / 10 + (1 + width) * target / 10


class Clock:
    """A Timer that obeys the law, times `speed(number of the call)`, and may fail at a call."""

    def __init__(
        self,
        speed: Callable[[int], float] = lambda call: 1.0,
        fails_at: int | None = None,
        failure: type[BaseException] = KeyboardInterrupt,
    ) -> None:
        self.calls, self._speed, self._fails_at, self._failure = 0, speed, fails_at, failure

    def __call__(self, architecture: Architecture, pair: tuple[int, int]) -> float:
        self.calls += 1
        if self.calls == self._fails_at:
            raise self._failure
        return law(architecture, pair) * self._speed(self.calls)


def timed(
    models: Models,
    folder: Path,
    timer: Timer,
    protocol: MeasureProtocol = PROTOCOL,
    progress: Progress = silent,
) -> list[Measurement]:
    store = MeasurementStore(folder / "store.sqlite")
    try:
        series = Series(store, "measure/1", "local", protocol, models[0])
        return measure(models, series, InventedBench(timer), progress=progress)
    finally:
        store.close()


def expected(architecture: Architecture) -> float:
    return sum(law(architecture, pair) for pair in PROTOCOL.pairs) / 2


def test_a_steady_machine(models: Models, tmp_path: Path) -> None:
    found = timed(models, tmp_path, Clock())
    assert [one.architecture for one in found] == [model.architecture for model in models]
    for one in found:
        layers = len(one.architecture.encoder.layers)
        step = law(one.architecture, (0, 1))
        assert one.latency_ms == one.raw_ms == one.low_ms == one.high_ms
        assert one.latency_ms == pytest.approx(expected(one.architecture))
        assert one.pairs_ms == pytest.approx([law(one.architecture, pair) for pair in PROTOCOL.pairs])
        assert one.encoder_ms == pytest.approx(2 * layers + step)
        assert one.step_ms == pytest.approx(step)
        assert (one.iqr_ms, one.runs, one.noise, one.too_noisy) == (0, FEWEST_ROUNDS, 0, False)


def test_progress_counts_models(models: Models, tmp_path: Path) -> None:
    notes: list[tuple[float, float]] = []
    timed(models, tmp_path, Clock(), progress=lambda done, total, note: notes.append((done, total)))
    assert notes == sorted(notes)
    assert notes[0] == (0, 20)
    assert (8, 20) in notes
    assert notes[-1] == (20, 20)


def test_drift_is_divided_out_and_reported(models: Models, tmp_path: Path) -> None:
    steady = Clock()
    timed(models, tmp_path / "steady", steady, replace(PROTOCOL, interval=0.0))
    slowing = Clock(speed=lambda call: 1 + call / steady.calls / 2)
    found = timed(models, tmp_path / "slowing", slowing, replace(PROTOCOL, interval=0.0))
    level = found[0].latency_ms / expected(models[0].architecture)
    true = [expected(one.architecture) * level for one in found]
    assert max(abs(one.latency_ms / t - 1) for one, t in zip(found, true, strict=True)) < 0.03
    assert max(abs(one.raw_ms / t - 1) for one, t in zip(found, true, strict=True)) > 0.1
    assert found[0].noise > 0.1


def test_latencies_of_a_noisy_machine_are_in_their_intervals(models: Models, tmp_path: Path) -> None:
    """In milliseconds and relative to the reference, of 240 models that are timed until they are known or
    the rounds are over; the stop rule alone is simulated in test_coverage.py."""
    truth = [expected(model.architecture) for model in models[:8]]
    relative, absolute = 0, 0
    for seed in range(30):
        rng = random.Random(seed)
        noisy = Clock(speed=lambda call, rng=rng: rng.gauss(1, 0.03))
        found = timed(models[:8], tmp_path / str(seed), noisy, replace(PROTOCOL, rounds=40))
        for one, ms in zip(found, truth, strict=True):
            absolute += one.low_ms <= ms <= one.high_ms
            relative += one.low_ms <= ms / truth[0] * one.reference_ms <= one.high_ms
        assert {one.runs for one in found} <= {8, 16, 32, 40}
    assert min(relative, absolute) >= 0.94 * 240


class Busy(InventedBench):
    """A device on which other work takes the core during all calls but every `clean`th, which then take
    twice as long."""

    def __init__(self, clean: int) -> None:
        super().__init__(law)
        self.calls, self.clean = 0, clean

    def time(self, slot: int, *, first: bool = False) -> Timing:
        self.calls += 1
        timing = super().time(slot, first=first)
        if self.calls % self.clean == 0:
            return timing
        return replace(timing, pairs_ms=[2 * ms for ms in timing.pairs_ms], preempted=1)


@pytest.mark.parametrize(("clean", "share", "too_noisy"), [(3, 0.0, False), (10_000, 1.0, True)])
def test_calls_that_other_work_disturbs_are_repeated(
    models: Models, tmp_path: Path, clean: int, share: float, too_noisy: bool
) -> None:
    series = Series(MeasurementStore(tmp_path / "store.sqlite"), "measure/1", "local", PROTOCOL, models[0])
    for one in measure(models[:4], series, Busy(clean)):
        assert one.latency_ms == pytest.approx(expected(one.architecture) * (1 + share))
        assert (one.disturbed, one.too_noisy) == (share, too_noisy)


def test_a_device_that_is_busy_all_the_time_is_not_timed_for_ever(models: Models, tmp_path: Path) -> None:
    protocol = replace(PROTOCOL, interval=0.0, rounds=500)
    bench = Busy(10_000)
    bench._timer = Clock(speed=lambda call: 1 + call % 7 / 10)
    series = Series(MeasurementStore(tmp_path / "store.sqlite"), "measure/1", "local", protocol, models[0])
    assert {one.runs for one in measure(models[:4], series, bench)} == {BUSY_ROUNDS}


def test_single_slow_calls_have_no_weight(models: Models, tmp_path: Path) -> None:
    protocol = replace(PROTOCOL, interval=0.0, rounds=15)
    disturbed = Clock(speed=lambda call: 3.0 if call % 7 == 0 else 1.0)
    found = timed(models[:8], tmp_path, disturbed, protocol)
    assert max(abs(one.pairs_ms[0] / law(one.architecture, (10, 12)) - 1) for one in found) < 1e-9


def test_an_unsteady_model_is_timed_longer(models: Models, tmp_path: Path) -> None:
    unsteady = models[1].architecture

    def timer(architecture: Architecture, pair: tuple[int, int]) -> float:
        timer.calls += architecture == unsteady  # type: ignore[attr-defined]
        wobble = 1 + (0.2 if timer.calls % 3 else 0.0) * (architecture == unsteady)  # type: ignore[attr-defined]
        return law(architecture, pair) * wobble

    timer.calls = 0  # type: ignore[attr-defined]
    found = timed(models[:4], tmp_path, timer)
    assert [one.runs for one in found] == [FEWEST_ROUNDS, PROTOCOL.rounds, FEWEST_ROUNDS, FEWEST_ROUNDS]
    assert found[1].low_ms < found[1].latency_ms < found[1].high_ms


def test_measured_models_are_not_measured_again(models: Models, tmp_path: Path) -> None:
    first = timed(models[:10], tmp_path, Clock())
    clock = Clock()
    assert timed(models[:10], tmp_path, clock) == first
    assert clock.calls == 0
    more = timed(models, tmp_path, clock)
    # Ten models in two blocks, each with the reference twice a round, at two pairs of lengths.
    assert clock.calls == 2 * (10 * CALLS + 2 * 2 * FEWEST_ROUNDS)
    assert [one.architecture for one in more] == [model.architecture for model in models]


@pytest.mark.parametrize("failing", [1, 30, 150, 200, 250, 300, 420])
def test_killed_and_resumed_gives_the_same(models: Models, tmp_path: Path, failing: int) -> None:
    whole = timed(models, tmp_path / "whole", Clock())
    with pytest.raises(KeyboardInterrupt):
        timed(models, tmp_path / "killed", Clock(fails_at=failing))
    assert timed(models, tmp_path / "killed", Clock()) == whole


def test_models_that_are_done_survive_a_crash_in_their_block(models: Models, tmp_path: Path) -> None:
    def timer(architecture: Architecture, pair: tuple[int, int]) -> float:
        timer.calls += 1  # type: ignore[attr-defined]
        if timer.calls == 230:  # type: ignore[attr-defined]
            raise KeyboardInterrupt
        unsteady = architecture == models[1].architecture
        return law(architecture, pair) * (1.3 if unsteady and timer.calls % 3 else 1)  # type: ignore[attr-defined]

    timer.calls = 0  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        timed(models[:8], tmp_path, timer, replace(PROTOCOL, rounds=1000))
    clock = Clock()
    timed(models[:8], tmp_path, clock, replace(PROTOCOL, rounds=1000))
    assert clock.calls == 2 * (CALLS + 2 * FEWEST_ROUNDS)  # only the unsteady one again


def test_a_measurement_that_ended_where_none_ends_now_is_made_again_and_says_so(
    models: Models, tmp_path: Path
) -> None:
    """Such as after 6 rounds, as an older version's did as soon as they looked narrow."""
    before = timed(models[:3], tmp_path, Clock())
    connection = sqlite3.connect(tmp_path / "store.sqlite")
    shorter = {name: f"json_remove({name}, '$[7]', '$[6]')" for name in ("pairs_ms", "reference_ms")}
    changes = ", ".join(f"{name} = {value}" for name, value in shorter.items())
    connection.execute(f"UPDATE measurement SET {changes} WHERE model = ?", (model_key(models[1]),))
    connection.commit()
    connection.close()
    notes: list[str] = []
    clock = Clock()
    after = timed(models[:3], tmp_path, clock, progress=lambda done, total, note: notes.append(note))
    assert after == before
    assert clock.calls == 2 * (CALLS + 2 * FEWEST_ROUNDS)  # of one model
    assert notes[0] == "measurements made again, as an older stopping rule ended them: 1"


def test_fewer_rounds_than_have_an_interval_are_made_up_to_those(models: Models, tmp_path: Path) -> None:
    (found,) = timed(models[:1], tmp_path, Clock(lambda call: 1 + call % 3), replace(PROTOCOL, rounds=2))
    assert found.runs == FEWEST_ROUNDS
    assert 0 < found.low_ms < found.high_ms < float("inf")


def test_a_lost_device_is_opened_again(models: Models, tmp_path: Path) -> None:
    whole = timed(models[:8], tmp_path / "whole", Clock())
    notes: list[str] = []
    lost = Clock(fails_at=100, failure=LinkLost)
    found = timed(models[:8], tmp_path / "lost", lost, progress=lambda done, total, note: notes.append(note))
    assert found == whole
    assert "the device was lost; connecting again" in notes


def test_a_device_that_stays_lost_is_given_up(models: Models, tmp_path: Path) -> None:
    def lost(architecture: Architecture, pair: tuple[int, int]) -> float:
        raise LinkLost("gone")

    with pytest.raises(LinkLost, match="gone"):
        timed(models[:2], tmp_path, lost)


def test_another_machine_is_refused(models: Models, tmp_path: Path) -> None:
    timed(models[:1], tmp_path, Clock())
    connection = sqlite3.connect(tmp_path / "store.sqlite")
    connection.execute("UPDATE environment SET content = json_set(content, '$.cpu', 'Abacus 3000')")
    connection.commit()
    connection.close()
    with pytest.raises(UserError, match=r"device local was another machine [(]cpu Abacus 3000, now"):
        timed(models[:1], tmp_path, Clock())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"beam": 0}, "beam: 0 is not a positive whole number"),
        ({"rounds": "many"}, "rounds: 'many'"),
        ({"interval": 2}, "interval: 2 is not a share between 0 and 1"),
        ({"source_lengths": []}, r"source_lengths: \[\] is not a list"),
        ({"source_lengths": [3]}, "2 lengths for 1 source_lengths"),
        ({"target_lengths": [3, 0]}, "target_lengths: 0"),
        ({"precision": "int3"}, "the choices are float32, bfloat16, int8"),
        ({"engine": None}, "engine: None"),
        ({"speed": 3}, "unknown key speed"),
    ],
)
def test_bad_protocols(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        MeasureProtocol.from_dict(PROTOCOL.to_dict() | change)


def test_protocol_round_trip() -> None:
    again = MeasureProtocol.from_dict(PROTOCOL.to_dict())
    assert again == PROTOCOL
    assert again.digest() == PROTOCOL.digest() != replace(PROTOCOL, rounds=6).digest()
    assert PROTOCOL.pairs == ((10, 12), (30, 28))
