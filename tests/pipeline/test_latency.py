"""Latencies in a run: devices that are declared, published or several; what is told of them."""

import csv
import json
import random
import shutil
from pathlib import Path
from threading import Thread

import pytest
import yaml

from hat import pipeline
from hat.architecture import Architecture
from hat.errors import HatError, UserError
from hat.pipeline import Quiet, load_recipe, open_run, run
from hat.pipeline.current_status import finished
from hat.pipeline.outcome.latency import fit_summary
from hat.pipeline.prediction import find_fitted, predict_latency
from hat.predictor.features import paper_features
from hat.predictor.published_sets import COLUMNS
from hat.recipe.file import design_space
from tests.pipeline.tiny import TINY, flops_timer


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with its SuperTransformer trained."""
    root = tmp_path_factory.mktemp("latency") / "run"
    recipe = root.parent / "tiny.yaml"
    recipe.write_text(yaml.safe_dump({**TINY, "baselines": []}), encoding="utf-8")
    run(load_recipe(str(recipe)), root, stages=("prepare", "train-super"), timer=flops_timer)
    return root


@pytest.fixture
def root(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture
def published(root: Path) -> Path:
    """A latency set as the published ones are, of a device on which FLOPs are all that counts."""
    space, rng = design_space(open_run(str(root))[0]), random.Random(1)
    chosen = list({space.sample(rng) for _ in range(100)})
    path = root.parent / "abacus.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for averages, one in zip(paper_features(chosen), chosen, strict=True):
            writer.writerow([*averages, 10.0, flops_timer(one, (30, 30)), 0.1, 0.1])
    return path


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_published_latencies_stand_for_a_device(root: Path, published: Path) -> None:
    overrides = [f"device.latencies={published}", "device.name=abacus"]
    recipe, _ = open_run(str(root), None, overrides)
    run(recipe, root, stages=("measure", "fit", "search", "train", "evaluate"))
    summary = fit_summary(finished(recipe, root))
    assert summary["device"] == "abacus"
    assert summary["mape"] < 10
    report = json.loads((root / "report.json").read_text())
    (found,) = (model for model in report["models"] if model["kind"] == "found")
    (judgement,) = found["constraint"]
    assert judgement["verdict"] is None
    assert found["latency_ms"] <= judgement["limit"]
    assert "limit 70 %: predicted only" in (root / "report.md").read_text()
    assert "not timed: latencies are predictions from abacus.csv" in (root / "report.md").read_text()
    rows = read(Path(summary["predictions"]))
    assert len(rows) == summary["samples"]
    off = [abs(float(row["predicted_ms"]) / float(row["measured_ms"]) - 1) for row in rows]
    assert 100 * sum(off) / len(off) == pytest.approx(summary["mape"], rel=1e-6)


def test_bad_published_latencies_leave_nothing(root: Path, published: Path) -> None:
    published.write_text(published.read_text().replace("10.0", "ten", 1))
    recipe, _ = open_run(str(root), None, [f"device.latencies={published}"])
    with pytest.raises(UserError, match=r"abacus\.csv:2: latency_mean_encoder: 'ten' is not a number"):
        run(recipe, root, stages=("measure",))
    assert not list(root.glob("steps/measure/*/manifest.json"))


def test_an_unknown_device_is_told(root: Path) -> None:
    recipe, _ = open_run(str(root), None, ["device.name=pi"])
    with pytest.raises(UserError, match="no device is called pi; the known ones are local"):
        run(recipe, root, stages=("measure",))


def test_several_devices_at_once(root: Path) -> None:
    file = root.parent / "devices.yaml"
    file.write_text("devices: {one: {threads: 1}, two: {threads: 1, precision: float32}}", encoding="utf-8")
    settings = [f"device.file={file}", "measure.samples=8", "measure.rounds=1", "device.engine=auto"]
    recipes = {
        name: open_run(str(root), None, [*settings, f"device.name={name}"])[0] for name in ("one", "two")
    }
    before = (root / "recipe.yaml").read_text()
    pipeline.run_on_devices(recipes, root, ("measure", "fit"), Quiet())
    assert (root / "recipe.yaml").read_text() == before
    for name, recipe in recipes.items():
        assert fit_summary(finished(recipe, root))["device"] == name
        fitted = find_fitted(root, name)
        assert fitted.device == name
        assert fitted.folder == Path(fit_summary(finished(recipe, root))["predictions"]).parent
    exported = root.parent / "out.csv"
    assert pipeline.export_measurements(root, exported) == 16
    devices = [row["device"] for row in read(exported)]
    assert sorted(devices) == ["one"] * 8 + ["two"] * 8


def test_devices_for_which_there_are_no_threads_are_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Thread, "start", refuse)
    recipes = {name: open_run(str(root))[0] for name in ("one", "two")}
    with pytest.raises(HatError, match="lets this process start 1 of 3 threads; use fewer"):
        pipeline.run_on_devices(recipes, root, ("measure",), Quiet())


def test_one_device_that_fails_does_not_stop_the_others(root: Path) -> None:
    file = root.parent / "devices.yaml"
    file.write_text(
        "devices: {bad: {address: 'ssh://127.0.0.1:1', key: none}, good: {threads: 1}}", encoding="utf-8"
    )
    settings = [f"device.file={file}", "measure.samples=8", "measure.rounds=1"]
    recipes = {
        name: open_run(str(root), None, [*settings, f"device.name={name}"])[0] for name in ("bad", "good")
    }
    with pytest.raises(UserError):
        pipeline.run_on_devices(recipes, root, ("measure",), Quiet())
    assert len(list(root.glob("steps/measure/*/manifest.json"))) == 1


def test_a_prediction_with_its_interval(root: Path) -> None:
    recipe, _ = open_run(str(root), None, ["measure.samples=40"])
    run(recipe, root, stages=("measure", "fit"), timer=flops_timer)
    one: Architecture = design_space(recipe).largest()
    fitted = find_fitted(root, None)
    assert (fitted.run, fitted.device) == (root, "local")
    found = predict_latency(fitted, one, [(30, 30)], 0.8)
    low, high = found["interval_ms"]
    assert low <= found["latency_ms"] <= high
    assert found["latency_ms"] == pytest.approx(flops_timer(one, (30, 30)), rel=0.15)
    with pytest.raises(UserError, match=r"no predictor is fitted for pi; run `hat fit .*` first"):
        find_fitted(root, "pi")


def test_the_newest_fitted_run_is_found(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    with pytest.raises(UserError, match="no run in runs/ has a fitted predictor"):
        find_fitted(None, None)
    recipe, _ = open_run(str(root))
    run(recipe, root, stages=("measure", "fit"), timer=flops_timer)
    (root.parent / "runs").mkdir()
    root.rename(root.parent / "runs" / "one")
    assert find_fitted(None, None).run == Path("runs/one")


def test_exported_measurements_serve_another_copy_of_the_run(root: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(root, tmp_path / "other"))
    recipe, _ = open_run(str(root))
    run(recipe, root, stages=("measure",), timer=flops_timer)
    assert pipeline.export_measurements(root, tmp_path / "out.csv") == TINY["measure"]["samples"]
    assert pipeline.import_measurements(other, tmp_path / "out.csv")

    def fail(*_: object) -> float:
        raise AssertionError("measured again")

    run(open_run(str(other))[0], other, stages=("measure",), timer=fail)
    (one,), (two,) = (path.glob("steps/measure/*/latencies.json") for path in (root, other))
    assert one.read_bytes() == two.read_bytes()
