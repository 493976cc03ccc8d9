"""Constraints on several costs through a run: measured, predicted, searched, verified, reported."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import hat
from hat.errors import UserError
from hat.hardware import InventedBench, MeasureProtocol
from hat.pipeline import STAGES
from hat.runtime import Artefact
from tests.pipeline.tiny import TINY, Recorder, flops_timer

TEXT = "latency=80% and memory=99.8% and size=95% and parameters=1M"
NAME = "hat-80pct-memory-99.8pct-size-95pct-parameters-1M"
PROCESS = 1_000_000  # bytes of a process without a model


class Device:
    """The peak memory of an invented device, and the number of processes that it started."""

    def __init__(self) -> None:
        self.processes = 0

    def peak_memory(self, artefact: Path, protocol: MeasureProtocol) -> int | None:
        self.processes += 1
        assert Artefact.load(artefact).config.precision == protocol.precision
        return PROCESS + (artefact / "model.safetensors").stat().st_size

    def install(self, monkeypatch: pytest.MonkeyPatch) -> "Device":
        peak_memory = self.peak_memory
        monkeypatch.setattr(InventedBench, "peak_memory", lambda _, *given: peak_memory(*given))
        return self


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run under a constraint on four costs."""
    root = tmp_path_factory.mktemp("limits")
    search = {**TINY["search"], "constraints": [TEXT]}
    recipe = root / "tiny.yaml"
    recipe.write_text(yaml.safe_dump({**TINY, "baselines": [], "search": search}), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        Device().install(patch)
        reporter = Recorder()
        hat.Run(recipe, root / "run").work(timer=flops_timer, reporter=reporter)
    steps = ["measure", "measure/memory", "fit", "fit/memory", f"search/{NAME}"]
    assert reporter.worked[2:7] == steps
    return root / "run"


def searched(root: Path) -> dict[str, Any]:
    (path,) = root.glob(f"steps/search/{NAME}/*/found.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_every_candidate_is_predicted_and_the_choice_measured_within_all_limits(finished: Path) -> None:
    found = searched(finished)
    limits = found["constraint"]["limits"]
    assert list(limits) == ["latency", "memory", "size", "parameters"]
    for result in (found["evolution"], found["random"]):
        for candidate in result["best"]:
            assert all(candidate["costs"][name] <= limit for name, limit in limits.items())
    figures = found["verification"]["figures"]
    assert figures.keys() == {"latency", "memory"}
    assert all(figure["high"] <= figure["limit"] for figure in figures.values())
    assert figures["memory"]["value"] == PROCESS + found["predicted"]["size"]
    assert found["predicted"]["memory"] == pytest.approx(figures["memory"]["value"], rel=0.01)


def test_the_report_and_the_status_show_each_limited_cost(finished: Path) -> None:
    report = json.loads((finished / "report.json").read_text())
    (model,) = (one for one in report["models"] if one["name"] == NAME)
    assert [one["cost"] for one in model["constraint"]] == ["latency", "memory", "size", "parameters"]
    assert {one["verdict"] for one in model["constraint"]} == {"met"}
    assert report["default"] == NAME
    assert model["constraint"][3]["value"] == model["parameters_with_embeddings"]
    deployed = finished / json.loads((finished / "models.json").read_text())["models"][NAME]
    assert model["constraint"][2]["value"] == (deployed / "model.safetensors").stat().st_size
    (line,) = hat.Run(finished).status().constraints
    for text in ("latency ", "memory ", "size ", "parameters 0.0", "limit 99.8 %: met, by the search's"):
        assert text in line
    markdown = (finished / "report.md").read_text()
    assert "limit 80 %: met; memory " in markdown
    assert "memory predictor: held-out error" in markdown


def test_a_second_run_measures_nothing(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device, reporter = Device().install(monkeypatch), Recorder()
    hat.Run(finished).work(timer=flops_timer, reporter=reporter)
    assert (reporter.worked, device.processes) == ([], 0)


def test_a_killed_measuring_goes_on_where_it_was(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(shutil.copytree(finished, tmp_path / "run"))
    (figures,) = root.glob("steps/measure/memory/*/figures.json")
    before = figures.read_bytes()
    shutil.rmtree(figures.parent)
    device = Device().install(monkeypatch)
    measure = device.peak_memory

    def killed(artefact: Path, protocol: MeasureProtocol) -> int | None:
        if device.processes == 5:
            raise KeyboardInterrupt
        return measure(artefact, protocol)

    monkeypatch.setattr(InventedBench, "peak_memory", lambda _, *given: killed(*given))
    with pytest.raises(KeyboardInterrupt):
        hat.Run(root).work(("measure",), timer=flops_timer)
    device.install(monkeypatch)
    hat.Run(root).work(("measure",), timer=flops_timer)
    assert figures.read_bytes() == before
    assert device.processes == len(json.loads(before)) == TINY["measure"]["samples"]


def test_a_device_that_reports_no_memory_is_one_line(finished: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(finished, tmp_path / "run"))
    shutil.rmtree(next(root.glob("steps/measure/memory/*")))
    with pytest.raises(UserError, match="device local does not report memory; leave it out"):
        hat.Run(root).work(("measure",), timer=flops_timer)


def test_published_latencies_have_no_memory(tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.yaml"
    search = {**TINY["search"], "constraints": ["memory=60%"]}
    text = yaml.safe_dump({**TINY, "search": search, "device": {"latencies": "pi.csv"}})
    recipe.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="memory needs a device to measure, not published latencies"):
        hat.Run(recipe).work()


def test_a_counted_cost_alone_needs_no_measurement_of_candidates(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(shutil.copytree(finished, tmp_path / "run"))
    run = hat.Run(root, settings=["search.constraints=[flops=70%]"])
    Device().install(monkeypatch)
    run.work([name for name in STAGES if name not in {"evaluate", "train"}], timer=flops_timer)
    (line,) = run.status().constraints
    assert line.startswith("hat-flops-70pct: flops ")
    assert line.endswith("limit 70 %: met, by its weights' shapes")
    assert "(" not in line


def test_an_older_search_is_read_and_not_repeated(finished: Path, tmp_path: Path) -> None:
    """A run of a version that limited the latency alone, with the search's result as it was then."""
    root = Path(shutil.copytree(finished, tmp_path / "run"))
    run = hat.Run(root, settings=["search.constraints=[80%]"])
    run.work(("search",), timer=flops_timer)
    (path,) = root.glob("steps/search/hat-80pct/*/found.json")
    found = json.loads(path.read_text())
    (before,) = run.status().constraints
    found["constraint"] = {"text": "80%", "milliseconds": found["constraint"]["limits"]["latency"]}
    found["predicted_ms"] = found.pop("predicted")["latency"]
    found["verification"] = found["verification"]["latency"]
    content = json.dumps(found)
    manifest = path.parent / "manifest.json"
    old, new = path.read_bytes(), content.encode()
    made = json.loads(manifest.read_text())
    path.write_bytes(new)
    assert len(made["outputs"]) == 1
    made["outputs"]["found.json"] |= {"bytes": len(new)}
    manifest.write_text(json.dumps(made))
    assert old != new
    assert hat.Run(root, settings=["search.constraints=[80%]"]).status().constraints == (before,)
    run.work(("search", "train", "evaluate"), timer=flops_timer)
    report = json.loads((root / "report.json").read_text())
    (model,) = (one for one in report["models"] if one["name"] == "hat-80pct")
    assert model["predicted_of_limit"].keys() == {"latency"}
