"""The loop: it learns, resumes to the same bytes, keeps the best weights, and stops when it should."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch

from hat.errors import HatError, UserError
from hat.model import Dropout, Transformer, beam_search
from hat.runtime import DecodeOptions
from hat.training import Stopped, SubTrainee, Trainee, TrainingSettings, train
from hat.training.checkpoint import load_tensors
from tests.training.tiny import RESULTS, SPACE, evolved, settings, stores, sub, supernet


def test_a_tiny_model_learns_to_reverse(tmp_path: Path) -> None:
    texts = stores(tmp_path, 3000)
    trainee = sub(0.0)
    plan = settings(updates=900, batch_tokens=600, validate_every=100, warmup=100, dropout=0.0)
    result = train(trainee, texts, settings=plan, folder=tmp_path / "run")
    assert result.history[-1]["loss"] < result.history[0]["loss"] - 0.5
    valid = texts[1]
    sources = [list(valid.source(row)) for row in range(len(valid))]
    right = 0
    for source in sources:
        (best,) = beam_search(trainee.module.eval(), torch.tensor([[*source, 2]]), DecodeOptions(beam=3))
        right += best[0].tokens == (*source[::-1], 2)
    assert right >= 0.9 * len(sources)


@pytest.mark.parametrize("kind", ["sub", "super", "evolved"])
@pytest.mark.parametrize(
    ("stop_at", "changes"),
    [(3, {}), (7, {}), (18, {}), (7, {"optimizer": "muon"}), (7, {"precision": "bf16"})],
)
def test_resume_ends_in_the_same_bytes(
    tmp_path: Path, kind: str, stop_at: int, changes: dict[str, str]
) -> None:
    """Killed without warning after any update; what lies on the disk then is all there is."""
    texts = stores(tmp_path)
    plan = settings(accumulate=2, **changes)

    def trainee() -> Trainee:
        return {"sub": sub, "super": supernet, "evolved": evolved}[kind]()

    class KilledError(Exception):
        pass

    def kill(done: float, total: float, note: str) -> None:
        if done == stop_at:
            raise KilledError

    train(trainee(), texts, settings=plan, folder=tmp_path / "whole")
    with pytest.raises(KilledError):
        train(
            trainee(),
            texts,
            settings=plan,
            folder=tmp_path / "cut",
            progress=kill,
        )
    train(trainee(), texts, settings=plan, folder=tmp_path / "cut")
    for name in RESULTS:
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()

    def curve(folder: Path) -> list[dict[str, float]]:
        lines = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
        return [{key: line[key] for key in line if key != "tokens_per_second"} for line in lines]

    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    assert sorted(path.name for path in (tmp_path / "cut").iterdir()) == [
        "log.jsonl",
        "model.safetensors",
        "tensorboard",
        "threads.json",
        "training.json",
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_a_checkpoint(tmp_path: Path, number: signal.Signals) -> None:
    texts = stores(tmp_path)
    before = signal.getsignal(number)

    def send(done: float, total: float, note: str) -> None:
        if done == 5:
            os.kill(os.getpid(), number)

    with pytest.raises(Stopped) as stopped:
        train(sub(), texts, settings=settings(), folder=tmp_path / "run", progress=send)
    assert stopped.value.exit_code == 128 + number
    assert load_tensors(tmp_path / "run" / "checkpoint.safetensors")[1]["update"] == 6
    assert signal.getsignal(number) == before, "the old handlers are back"


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    texts = stores(tmp_path)
    first = train(sub(), texts, settings=settings(), folder=tmp_path / "run")
    trainee = sub()

    def fail(done: float, total: float, note: str) -> None:
        raise AssertionError("an update was made")

    assert train(trainee, texts, settings=settings(), folder=tmp_path / "run", progress=fail) == first
    kept, _ = load_tensors(tmp_path / "run" / "model.safetensors")
    assert all(torch.equal(kept[name], value) for name, value in trainee.module.named_parameters())


def test_the_better_of_best_and_average_is_kept(tmp_path: Path) -> None:
    texts = stores(tmp_path)
    result = train(sub(), texts, settings=settings(updates=42), folder=tmp_path / "run")
    assert result.loss <= min(record["loss"] for record in result.history)
    # At a learning rate that wrecks what was learnt, the best snapshot is an early one and wins.
    wild = settings(updates=42, learning_rate=0.5, warmup=40, average=1, schedule="inverse-sqrt")
    result = train(sub(), texts, settings=wild, folder=tmp_path / "wild")
    best = min(result.history, key=lambda record: record["loss"])
    assert best["update"] < 42
    assert result.kept == f"update {best['update']}"
    assert result.loss == pytest.approx(best["loss"], rel=1e-9)


def test_patience_stops_early(tmp_path: Path) -> None:
    texts = stores(tmp_path)
    plan = settings(updates=500, learning_rate=1e-9, patience=2, validate_every=5)
    constant = plan.model_copy(update={"floor_learning_rate": 0.0})
    result = train(sub(), texts, settings=constant, folder=tmp_path / "run")
    losses = [record["loss"] for record in result.history]
    assert len(losses) - 1 - losses.index(min(losses)) == 2
    assert result.updates == 5 * len(losses) < 500


def test_divergence_is_told_and_the_checkpoint_stays(tmp_path: Path) -> None:
    texts = stores(tmp_path)
    trainee = sub()

    def poison(done: float, total: float, note: str) -> None:
        if done == 9:
            with torch.no_grad():
                trainee.module.embedding.fill_(float("nan"))

    origin = "first not finite: weights embedding; skipped updates: 5 in a row, 5 in all"
    with pytest.raises(HatError, match=rf"diverged at update 14: loss nan.*{origin}.*lower learning_rate"):
        train(trainee, texts, settings=settings(), folder=tmp_path / "run", progress=poison)
    assert load_tensors(tmp_path / "run" / "checkpoint.safetensors")[1]["update"] == 8


def test_the_only_checkpoint_damaged_and_foreign_checkpoints_are_refused(tmp_path: Path) -> None:
    texts = stores(tmp_path)
    folder = tmp_path / "run"
    with pytest.raises(Stopped):
        train(sub(), texts, settings=settings(checkpoint_every=9), folder=folder, progress=_stop_at_five)
    checkpoint = folder / "checkpoint.safetensors"
    whole = checkpoint.read_bytes()
    with pytest.raises(UserError, match="not a checkpoint of this model"):
        train(supernet(), texts, settings=settings(), folder=folder)
    for size in (0, 5, len(whole) // 2, len(whole) - 1):
        checkpoint.write_bytes(whole[:size])
        with pytest.raises(UserError, match=r"checkpoint\.safetensors: damaged checkpoint.*delete it"):
            train(sub(), texts, settings=settings(), folder=folder)


def _stop_at_five(done: float, total: float, note: str) -> None:
    if done == 5:
        os.kill(os.getpid(), signal.SIGTERM)


def test_fine_tuning_starts_from_inherited_weights(tmp_path: Path) -> None:
    texts = stores(tmp_path, 1500)
    trainee = supernet()
    plan = settings(updates=300, batch_tokens=500, validate_every=100, warmup=50)
    train(trainee, texts, settings=plan, folder=tmp_path / "super")
    inherited = trainee.model.extract(SPACE.smallest())
    short: TrainingSettings = settings(updates=20, validate_every=20, learning_rate=1e-3)
    tuned = train(SubTrainee(inherited), texts, settings=short, folder=tmp_path / "tuned")
    torch.manual_seed(0)
    fresh = Transformer(trainee.model.sub_config(SPACE.smallest()), Dropout(0.1))
    scratch = train(SubTrainee(fresh), texts, settings=short, folder=tmp_path / "scratch")
    assert tuned.loss < scratch.loss - 0.2
