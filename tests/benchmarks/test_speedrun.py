"""The speedrun: its clock, its records and its summary."""

import json
from pathlib import Path
from typing import Any

import pytest

import speedrun
from hat.data import TokenStore
from tests.training.tiny import stores, sub

TARGET = 2.5


@pytest.fixture(autouse=True)
def targets(monkeypatch: pytest.MonkeyPatch) -> None:
    everywhere = dict.fromkeys(speedrun.TARGETS, TARGET)
    monkeypatch.setattr(speedrun, "TARGETS", everywhere)


def record(recipe: str, seed: int, seconds: float, *, reached: bool = True) -> dict[str, Any]:
    """A record of 150 updates, of which the first 100 took `seconds`."""
    losses = {50: 3.0, 100: 2.49 if reached else 2.6, 150: 2.45 if reached else 2.51}
    curve = [
        {
            "update": update,
            "seconds": update * seconds / 100,
            "processor_seconds": update * seconds / 50,
            "loss": loss,
        }
        for update, loss in losses.items()
    ]
    names = {"network": "transformer-6+2", "text": "tatoeba", "recipe": recipe, "threads": 2, "seed": seed}
    return {**names, "settings": {"updates": 200}, "curve": curve}


def test_the_gain_compares_equal_seeds() -> None:
    records = [record("baseline", 1, 30.0), record("baseline", 2, 50.0), record("record", 1, 10.0)]
    fast, slow = speedrun.summary(records)
    assert (fast["recipe"], fast["seconds"], fast["update"]) == ("record", 10.0, 100)
    assert (fast["seconds_gain"], fast["update_gain"]) == (3.0, 1.0)
    assert (slow["seconds"], slow["seconds_gain"]) == (40.0, 1.0)


def test_an_idea_that_misses_the_target_has_no_gain() -> None:
    rows = speedrun.summary([record("baseline", 1, 30.0), record("idea", 1, 10.0, reached=False)])
    assert [row["seconds_gain"] for row in rows] == [None, 1.0]
    machine = {"cpu": "Z80", "cores_allowed": 2, "load_average": 0.1}
    text = speedrun.markdown({"date": "2026-11-28", "environment": machine, "rows": rows})
    assert "| transformer-6+2, tatoeba | 2.50 | idea | 2 | 0 of 1 | 2.510 | 150 | 15 | 30 | – | – |" in text


def test_a_lower_target_repeats_only_what_ended_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    short = record("record", 1, 10.0)
    attempt = speedrun.Attempt("transformer-6+2", "tatoeba", "record", {"updates": 200}, 1, 2)
    assert speedrun.is_done(attempt, short)
    monkeypatch.setitem(speedrun.TARGETS, ("transformer-6+2", "tatoeba"), 2.46)
    assert speedrun.is_done(attempt, short), "it went on below its target"
    monkeypatch.setitem(speedrun.TARGETS, ("transformer-6+2", "tatoeba"), 2.0)
    assert not speedrun.is_done(attempt, short)
    complete = {**short, "settings": {"updates": 150}}
    whole = speedrun.Attempt("transformer-6+2", "tatoeba", "record", {"updates": 150}, 1, 2)
    assert speedrun.is_done(whole, complete), "its recipe ended there"


def test_the_time_of_validations_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("speedrun.time.perf_counter", lambda: now[0])

    class Slow(speedrun.Clock):
        def loss(self) -> float:
            now[0] += 1000
            return 3.0 - len(self.curve)

    clock = Slow(sub(), stores(tmp_path)[1], 2.0)

    def train() -> None:
        for update in range(1, 1000):
            now[0] += 0.5
            clock(update, 1000, "")

    with pytest.raises(speedrun.TargetReachedError):
        train()
    assert [point["seconds"] for point in clock.curve] == [25.0, 50.0]


def test_a_training_ends_at_the_first_validation_at_its_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speedrun, "VALIDATE_EVERY", 5)
    monkeypatch.setattr(speedrun, "trainee_of", lambda *_: sub())
    texts = stores(tmp_path)
    recipe = {"batch_tokens": 200, "warmup": 5, "learning_rate": 3e-3}

    def run(target: float, updates: int) -> dict[str, Any]:
        monkeypatch.setitem(speedrun.TARGETS, ("transformer-6+2", "tatoeba"), target)
        settings = recipe | {"updates": updates}
        attempt = speedrun.Attempt("transformer-6+2", "tatoeba", "record", settings, 1, 1)
        return speedrun.run(attempt, texts)

    found = run(2.5, 400)
    assert speedrun.end(found)["reached"]
    assert found["curve"][-1]["loss"] <= 2.5 < found["curve"][-2]["loss"]
    missed = run(0.0, 20)
    assert not speedrun.end(missed)["reached"]
    assert [point["update"] for point in missed["curve"]] == [5, 10, 15, 20]


def test_what_is_recorded_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[str] = []

    def run(attempt: speedrun.Attempt, texts: tuple[TokenStore, TokenStore]) -> dict[str, Any]:
        runs.append(str(attempt))
        return record(attempt.recipe, attempt.seed, 10.0) | attempt.described()

    monkeypatch.setattr(speedrun, "run", run)
    monkeypatch.setattr(speedrun, "stores_of", lambda *_: None)
    monkeypatch.setattr(speedrun, "environment", lambda: {"cpu": "", "cores_allowed": 2, "load_average": 0})
    (tmp_path / "tatoeba").mkdir()
    words = ["speedrun.py", "--data", str(tmp_path), "--output", str(tmp_path / "out"), "--seeds", "1"]
    words += ["--networks", "transformer-6+2", "--recipes", "record"]
    for changes in ([], [], ["--set", "warmup=9"]):
        monkeypatch.setattr("sys.argv", [*words, *changes])
        speedrun.main()
    assert len(runs) == 2, "Multi30k is not there, and the second call has nothing to do"
    lines = (tmp_path / "out" / "records.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["settings"]["warmup"] for line in lines] == [40, 9]


@pytest.mark.parametrize("network", speedrun.NETWORKS)
def test_every_recipe_is_a_training_of_its_network(network: str) -> None:
    for name, recipe in speedrun.RECIPES.items():
        attempt = speedrun.Attempt(network, "tatoeba", name, recipe[network], 1, 1)
        assert speedrun.trainee_of(attempt, speedrun.settings_of(attempt), 100).validated()
