"""Measuring with an injected clock: drift, resumption, torn files, other machines."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hat.architecture import Architecture, ModelConfig
from hat.errors import HatError, UserError
from hat.hardware import MeasureProtocol, decoding, environment, measure
from hat.hardware.decoding import Decoding
from hat.runtime import PRECISIONS, Artefact, DecodeOptions, EngineSettings, Hypothesis
from hat.runtime.precision import stored_tensors

Models = list[ModelConfig]
PROTOCOL = MeasureProtocol((10, 30), (12, 28), rounds=5, warmup=1)


def law(architecture: Architecture) -> float:
    """Milliseconds a call would take on a steady machine."""
    return 5 + sum(layer.ffn_dim for layer in architecture.decoder.layers) / 100


class Clock:
    """A timer that obeys the law, times `speed(number of the call)`, and may die at a call."""

    def __init__(self, speed: Callable[[int], float] = lambda call: 1.0, dies_at: int | None = None) -> None:
        self.calls, self._speed, self._dies_at = 0, speed, dies_at

    def __call__(self, call: Callable[[], object], architecture: Architecture) -> float:
        self.calls += 1
        if self.calls == self._dies_at:
            raise KeyboardInterrupt
        return law(architecture) * self._speed(self.calls)


def test_a_steady_machine(models: Models, tmp_path: Path) -> None:
    notes: list[tuple[float, float]] = []
    found = measure(
        models,
        PROTOCOL,
        tmp_path,
        timer=Clock(),
        progress=lambda done, total, note: notes.append((done, total)),
    )
    assert [one.architecture for one in found] == [model.architecture for model in models]
    for one in found:
        assert one.latency_ms == one.raw_ms == pytest.approx(law(one.architecture) / 2)
        assert (one.iqr_ms, one.runs, one.noise, one.too_noisy) == (0, 5, 0, False)
    assert notes == [(0, 20), (8, 20), (16, 20), (20, 20)]


def test_drift_is_divided_out_and_reported(models: Models, tmp_path: Path) -> None:
    calls = (20 + 6) * 6
    slowing = Clock(speed=lambda call: 1 + call / calls / 2)
    found = measure(models, PROTOCOL, tmp_path, reference=models[3], timer=slowing)
    true = [law(one.architecture) / 2 for one in found]
    level = found[3].latency_ms / true[3]
    corrected = [abs(one.latency_ms / level / t - 1) for one, t in zip(found, true, strict=True)]
    raw = [abs(one.raw_ms / level / t - 1) for one, t in zip(found, true, strict=True)]
    assert max(corrected) < 0.03
    assert max(raw) > 0.1
    assert found[0].too_noisy


def test_measured_models_are_not_measured_again(models: Models, tmp_path: Path) -> None:
    first = measure(models[:10], PROTOCOL, tmp_path, timer=Clock())
    clock = Clock()
    assert measure(models[:10], PROTOCOL, tmp_path, timer=clock) == first
    assert clock.calls == 0
    more = measure(models, PROTOCOL, tmp_path, timer=clock)
    assert clock.calls == (10 + 4) * 6  # ten models in two blocks, each with the reference twice
    assert [one.architecture for one in more] == [model.architecture for model in models]
    measure(models[:1], replace(PROTOCOL, beam=4), tmp_path, timer=clock)
    assert clock.calls == (10 + 4 + 3) * 6
    described = json.loads((tmp_path / "environment.json").read_text())
    assert [value["beam"] for value in described["protocols"].values()] == [5, 4]


@pytest.mark.parametrize("dies_at", [1, 20, 60, 61, 70, 120, 121, 156])
def test_killed_and_resumed_gives_the_same_bytes(models: Models, tmp_path: Path, dies_at: int) -> None:
    whole = measure(models, PROTOCOL, tmp_path / "whole", timer=Clock())
    with pytest.raises(KeyboardInterrupt):
        measure(models, PROTOCOL, tmp_path / "killed", timer=Clock(dies_at=dies_at))
    assert measure(models, PROTOCOL, tmp_path / "killed", timer=Clock()) == whole
    lines = [(tmp_path / name / "measurements.jsonl").read_bytes() for name in ("whole", "killed")]
    assert lines[0] == lines[1]


def test_a_torn_block_is_dropped(models: Models, tmp_path: Path) -> None:
    whole = measure(models, PROTOCOL, tmp_path, timer=Clock())
    path = tmp_path / "measurements.jsonl"
    content = path.read_bytes()
    block_end = sum(len(line) for line in content.splitlines(keepends=True)[:16])
    for size in (0, 1, 50, block_end - 1, block_end, block_end + 1, len(content) - 1):
        path.write_bytes(content[:size])
        assert measure(models, PROTOCOL, tmp_path, timer=Clock()) == whole
        assert path.read_bytes() == content
    path.write_bytes(content[: block_end + 10] + b"\0" * 30)
    measure(models, PROTOCOL, tmp_path, timer=Clock())
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: "what?\n" + text, "jsonl:1: not a line of JSON"),
        (lambda text: text.replace("times_ms", "times", 1), "jsonl:1: unknown key times"),
        (lambda text: text.replace('"times_ms": [', '"times_ms": [0.0, ', 1), "positive"),
    ],
)
def test_damage_in_the_middle_is_the_users_to_see(
    models: Models, tmp_path: Path, damage: Callable[[str], str], message: str
) -> None:
    measure(models, PROTOCOL, tmp_path, timer=Clock())
    path = tmp_path / "measurements.jsonl"
    path.write_text(damage(path.read_text()))
    with pytest.raises(UserError, match=message):
        measure(models, PROTOCOL, tmp_path, timer=Clock())


def test_another_machine_is_refused(models: Models, tmp_path: Path) -> None:
    measure(models[:1], PROTOCOL, tmp_path, timer=Clock())
    path = tmp_path / "environment.json"
    there: dict[str, Any] = json.loads(path.read_text())
    assert there["environment"].keys() == environment().keys()
    there["environment"]["cpu"] = "Abacus 3000"
    path.write_text(json.dumps(there))
    with pytest.raises(UserError, match=r"another machine [(]cpu Abacus 3000, here"):
        measure(models, PROTOCOL, tmp_path, timer=Clock())


class Recorder:
    """An engine that notes what it is asked and decodes as many steps as it was forced to."""

    name = "recorder"

    def __init__(self, extra: int = 0) -> None:
        self.asked: list[tuple[list[int], DecodeOptions]] = []
        self.extra, self.closed = extra, False

    def translate(self, sources: Sequence[Sequence[int]], options: DecodeOptions) -> list[list[Hypothesis]]:
        self.asked.append(([len(source) for source in sources], options))
        assert all(source[-1] == 2 and min(source[:-1]) > 3 for source in sources)
        steps = options.max_length(len(sources[0])) + self.extra
        return [[Hypothesis((2,) * steps, 0.0, (0.0,) * steps)] for _ in sources]

    def close(self) -> None:
        self.closed = True


def test_the_work_that_is_timed(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    monkeypatch.setattr(decoding, "load_engine", lambda name, artefact, threads: recorder)
    small = min(models, key=lambda model: len(str(model.architecture)))
    work = Decoding(small, replace(PROTOCOL, batch=3, beam=2))
    work()
    forced = [DecodeOptions(2, 1.0, 1, steps, 0.0, steps) for steps in (12, 28)]
    assert recorder.asked == [([10] * 3, forced[0]), ([30] * 3, forced[1])]
    recorder.extra = 1
    with pytest.raises(HatError, match="did not decode exactly 12 steps"):
        work()
    work.close()
    assert recorder.closed


@pytest.mark.parametrize("precision", PRECISIONS)
def test_random_models_have_the_protocols_precision(
    models: Models, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    given: list[tuple[Artefact, EngineSettings]] = []

    def load(name: str, artefact: Artefact, settings: EngineSettings) -> Recorder:
        given.append((artefact, settings))
        return Recorder()

    monkeypatch.setattr(decoding, "load_engine", load)
    Decoding(models[0], replace(PROTOCOL, precision=precision, threads=3))()
    [(artefact, settings)] = given
    assert artefact.config.precision == precision
    assert list(artefact.weights) == list(stored_tensors(models[0], precision))
    assert settings == EngineSettings(3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"beam": 0}, "beam: 0 is not a positive whole number"),
        ({"rounds": "many"}, "rounds: 'many'"),
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
    again = MeasureProtocol.from_dict(json.loads(json.dumps(PROTOCOL.to_dict())))
    assert again == PROTOCOL
    assert again.digest() == PROTOCOL.digest() != replace(PROTOCOL, rounds=6).digest()
    assert PROTOCOL.pairs == ((10, 12), (30, 28))
