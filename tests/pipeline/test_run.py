"""The whole pipeline on a tiny run: what is made, what is not made twice, what depends on what."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from hat import Run
from hat.architecture import Architecture, EvolvedArchitecture, cost
from hat.cli import main
from hat.cli.commands.export import export
from hat.errors import UserError
from hat.pipeline import load_recipe, open_run, run, status
from hat.pipeline.current_status import DEPENDS
from hat.pipeline.steps.results import VERSIONS, version_of
from hat.pipeline.steps.step import OLDER
from hat.recipe.file import design_space
from hat.report import print_status
from hat.runtime import Artefact, DecodeOptions, TrainingLines, Translator
from hat.search import verified
from tests.pipeline.tiny import STEPS, TINY, Recorder, flops_timer


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """The finished run, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def again(root: Path, *overrides: str, **options: Any) -> Recorder:
    """Run once more with some settings changed."""
    reporter = Recorder()
    recipe, folder = open_run(str(root), None, overrides)
    run(recipe, folder, timer=flops_timer, reporter=reporter, **options)
    return reporter


def test_report_and_models(finished: Path) -> None:
    report = json.loads((finished / "report.json").read_text())
    models = {model["name"]: model for model in report["models"]}
    assert list(models) == ["base", "hat-70pct", "largest", "smallest"]
    found = models["hat-70pct"]
    (judgement,) = found["constraint"]
    assert judgement["verdict"] == "met"
    assert judgement["limit"] == pytest.approx(0.7 * models["largest"]["latency_ms"])
    assert judgement["high"] <= judgement["limit"]
    assert 0.7 < found["predicted_of_limit"]["latency"] <= 1
    assert report["default"] == "hat-70pct"
    assert len(report["samples"]) == 5
    assert set(report["costs"]) == {name.split("/")[0] for name in STEPS}
    text = (finished / "report.md").read_text()
    assert "hat-70pct*" in text
    assert "against base" in text


def test_the_constraint_that_the_report_suggests_can_be_met(copy: Path) -> None:
    suggested = json.loads((copy / "report.json").read_text())["suggested_constraint"]
    assert f"--set 'search.constraints=[{suggested}]'" in (copy / "report.md").read_text()
    recipe, root = open_run(str(copy), None, [f"search.constraints=[{suggested}]"])
    run(recipe, root, stages=("search",), timer=flops_timer)
    (found,) = (copy / "steps" / "search" / f"hat-{suggested.replace('%', 'pct')}").glob("*/found.json")
    figure = json.loads(found.read_text())["verification"]["figures"]["latency"]
    assert figure["high"] <= figure["limit"]


def test_translator_finds_the_models(finished: Path) -> None:
    for model in (None, "base", "smallest"):
        with Translator.load(finished, model, threads=1) as translator:
            assert translator.config.source_language == "en"
            assert len(translator.translate(["The dog sleeps.", ""])) == 2


def test_every_model_says_what_lines_it_was_trained_on(finished: Path) -> None:
    [report] = (finished / "steps" / "prepare").glob("*/report.json")
    lines = TrainingLines(**json.loads(report.read_text())["training_lines"])
    assert lines.sentences == 1
    for name in json.loads((finished / "models.json").read_text())["models"]:
        with Translator.load(finished, name, threads=1) as translator:
            assert translator.config.training_lines == lines


def test_second_run_does_nothing(copy: Path) -> None:
    reporter = again(copy)
    assert reporter.worked == []
    assert reporter.said == [f"{step}: done already" for step in STEPS]


def test_status(finished: Path, copy: Path) -> None:
    recipe, root = open_run(str(finished))
    assert [(step.step, step.state) for step in status(recipe, root, verify=True)] == [
        (step, "done") for step in STEPS
    ]
    recipe, root = open_run(str(copy), None, ["sub_training.updates=6"])
    states = {step.step: step for step in status(recipe, root)}
    assert states["train/base"].state == "done"
    assert states["train/hat-70pct"].state == "to do"
    assert states["train/hat-70pct"].changes == ("sub_training.updates 5 -> 6",)
    shutil.rmtree(copy / "steps" / "measure")
    states = {step.step: step for step in status(recipe, root)}
    assert states["measure"].state == "to do"
    assert states["search"].state == "to do"


def test_status_counts_the_updates_that_a_training_skipped(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (journal,) = copy.glob("steps/train-super/*/log.jsonl")
    with journal.open("a") as lines:
        lines.writelines(f'{{"update": {update}, "kind": "skipped", "loss": "nan"}}\n' for update in (3, 4))
    steps = status(*open_run(str(copy)))
    assert {one.step: one.skipped_updates for one in steps if one.skipped_updates} == {"train-super": 2}
    print_status(copy, [asdict(one) for one in steps])
    assert "train-super: 2 updates skipped; their loss or gradient was not finite" in capsys.readouterr().out


def test_a_new_version_repeats_its_step_and_only_what_changes_with_it(
    finished: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for manifest in finished.glob("steps/**/manifest.json"):
        if "step" in (made := json.loads(manifest.read_text())):
            assert made["version"] == version_of(made["step"])
    for step in ("measure", "search", "evaluate/latencies"):
        monkeypatch.setitem(VERSIONS, step, version_of(step) + 1)
    found = {step.step: step for step in status(*open_run(str(copy)))}
    assert found["measure"].state == "to do"
    assert found["measure"].changes == (OLDER,)
    assert found["fit"].changes == (DEPENDS,)
    assert found["search"].changes == (f"search/hat-70pct {OLDER}",)
    assert found["evaluate"].changes == (f"evaluate/latencies {OLDER}", DEPENDS)
    assert found["train/base"].state == "done"
    reporter = again(copy)
    assert f"measure: runs again, {OLDER}" in reporter.said
    # Invented latencies are the same again, and so is all that is made from them.
    assert reporter.worked == ["measure", "search/hat-70pct", "evaluate/latencies"]


@pytest.mark.parametrize(("changed", "folders"), [(("search",), 1), (("search", "losses"), 2)])
def test_what_searches_remember_of_candidates_has_a_version_too(
    copy: Path, monkeypatch: pytest.MonkeyPatch, changed: tuple[str, ...], folders: int
) -> None:
    for name in changed:
        monkeypatch.setitem(VERSIONS, name, VERSIONS[name] + 1)
    assert again(copy).worked == ["search/hat-70pct"]
    assert len(list((copy / "losses").iterdir())) == folders


def test_another_baseline_trains_nothing_else(copy: Path) -> None:
    second = {**TINY["baselines"][0], "name": "base-1", "decoder_layers": 1}
    both = json.dumps([*TINY["baselines"], second])
    reporter = again(copy, f"baselines={both}")
    assert reporter.worked == ["train/base-1", "evaluate/base-1", "evaluate/latencies"]


def test_another_norm_keeps_the_text_only(finished: Path, copy: Path) -> None:
    reporter = again(copy, "norm=pre")
    # The invented latencies are the same, so the predictor is.
    assert reporter.worked == [step for step in STEPS if step not in ("prepare", "fit")]
    for root, norm in ((finished, "post"), (copy, "pre")):
        folders = json.loads((root / "models.json").read_text())["models"].values()
        assert {Artefact.load(root / folder).config.model.norm for folder in folders} == {norm}


def test_an_evolved_transformer_is_trained_scored_and_timed(copy: Path) -> None:
    evolved = {"name": "et", "kind": "evolved", "embed_dim": 16, "heads": 2}
    cells = {"encoder_cells": 1, "decoder_cells": 1}
    reporter = again(copy, f"baselines={json.dumps([*TINY['baselines'], evolved | cells])}")
    assert reporter.worked == ["train/et", "evaluate/et", "evaluate/latencies"]
    models = {model["name"]: model for model in json.loads((copy / "report.json").read_text())["models"]}
    assert models["et"]["architecture"] == {"family": "evolved", "embed_dim": 16, "heads": 2, **cells}
    assert models["et"]["updates"] == 5
    assert models["et"]["parameters"] == cost(EvolvedArchitecture(16, 2, 1, 1)).parameters
    assert models["et"]["engine"] in ("onnxruntime", "torch")
    others = {model["engine"] for name, model in models.items() if name != "et"}
    told = "et was timed with engine" in (copy / "report.md").read_text()
    assert told == (others != {models["et"]["engine"]})
    with Translator.load(copy, "et", threads=1) as translator:
        assert len(translator.translate(["The dog sleeps."])) == 1


def test_change_redoes_what_depends_and_says_so(copy: Path) -> None:
    reporter = again(copy, "sub_training.updates=6")
    assert reporter.worked == ["train/hat-70pct", "evaluate/hat-70pct"]
    assert "train/hat-70pct: runs again, sub_training.updates 5 -> 6" in reporter.said
    assert "evaluate/hat-70pct: runs again, the model changed" in reporter.said
    assert again(copy, "sub_training.updates=5").worked == []


def test_a_tuned_length_penalty_is_the_deployed_and_exported_models(copy: Path, tmp_path: Path) -> None:
    reporter = again(copy, "evaluate.tune_length_penalty=true")
    assert reporter.worked == [step for step in STEPS[:-1] if step.startswith("evaluate/")]
    assert "evaluate/base: runs again, evaluate.tune_length_penalty none -> true" in reporter.said
    assert "evaluate/base: runs again, now needs the validation text" in reporter.said
    folders = json.loads((copy / "models.json").read_text())
    # With a beam of 1 all penalties are equal, and the least is taken.
    assert {decode_of(copy / folder).length_penalty for folder in folders["models"].values()} == {0.6}
    assert {decode_of(copy / folder).length_penalty for folder in folders["trained"].values()} == {1.0}
    report = json.loads((copy / "report.json").read_text())
    assert {model["length_penalty"] for model in report["models"]} == {0.6}
    export(copy, tmp_path / "out", precision="int8")
    assert decode_of(tmp_path / "out") == decode_of(copy / folders["models"]["hat-70pct"])


def test_a_tuned_beam_is_the_deployed_and_the_timed_one(copy: Path) -> None:
    reporter = again(copy, "evaluate.beam=3", "evaluate.tune_beam=100")
    assert "evaluate/base: runs again, evaluate.tune_beam none -> 100.0" in "\n".join(reporter.said)
    folders = json.loads((copy / "models.json").read_text())
    assert {decode_of(copy / folder).beam for folder in folders["models"].values()} == {1}
    assert {decode_of(copy / folder).beam for folder in folders["trained"].values()} == {3}
    report = json.loads((copy / "report.json").read_text())
    assert {model["beam"] for model in report["models"]} == {1}
    assert "base (beam 1)" in (copy / "report.md").read_text()
    assert "each model with its beam" in (copy / "report.md").read_text()
    again(copy, "evaluate.beam=1", "evaluate.tune_beam=null")
    assert "beam" not in json.loads((copy / "report.json").read_text())["models"][0]


def decode_of(artefact: Path) -> DecodeOptions:
    return Artefact.load(artefact).config.decode


def test_same_architecture_twice_is_trained_once(copy: Path) -> None:
    reporter = again(copy, "search.constraints=[70%, 100000ms, 200000ms]")
    assert reporter.worked == [
        "search/hat-100000ms",
        "search/hat-200000ms",
        "train/hat-100000ms",
        "evaluate/hat-100000ms",
        "evaluate/latencies",
    ]
    models = json.loads((copy / "models.json").read_text())["models"]
    assert models["hat-200000ms"] == models["hat-100000ms"]
    assert (copy / models["hat-200000ms"] / "config.json").is_file()


def test_infeasible_constraint(copy: Path) -> None:
    with pytest.raises(UserError, match="lowest reachable latency is"):
        again(copy, "search.constraints=[0.001ms]")


def test_a_stage_alone_needs_the_earlier_ones(tmp_path: Path, recipe_file: Path) -> None:
    recipe = load_recipe(str(recipe_file))
    with pytest.raises(UserError, match=r"prepare is not finished; run `hat prepare .*run` first"):
        run(recipe, tmp_path / "run", stages=("train-super",))
    run(recipe, tmp_path / "run", stages=("prepare",))
    with pytest.raises(UserError, match="measure is not finished"):
        run(recipe, tmp_path / "run", stages=("fit",))


def test_baselines_are_trained_before_the_search(tmp_path: Path, recipe_file: Path) -> None:
    recipe, root = load_recipe(str(recipe_file)), tmp_path / "run"
    run(recipe, root, stages=("prepare",))
    reporter = Recorder()
    with pytest.raises(UserError, match=r"search/hat-70pct is not finished; run `hat search .*run` first"):
        run(recipe, root, stages=("train",), reporter=reporter)
    assert reporter.worked == ["train/base"]
    assert [(step.step, step.state) for step in status(recipe, root)] == [
        ("prepare", "done"),
        ("train-super", "to do"),
        ("measure", "to do"),
        ("fit", "to do"),
        ("search", "to do"),
        ("train/base", "done"),
        ("train", "to do"),
        ("evaluate", "to do"),
    ]


def test_damaged_result_is_refused(copy: Path) -> None:
    (weights,) = copy.glob("steps/train-super/*/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"model\.safetensors: .*damaged; delete"):
        again(copy)


def test_text_counts_by_content(tmp_path: Path, tiny: dict[str, Any]) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    names = {"train": 60, "valid": 10, "test": 10}
    for name, count in names.items():
        for side in ("en", "de"):
            lines = (f"{side} {name} {number} sentence" for number in range(count))
            (corpus / f"{name}.{side}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    tiny["data"] = {
        "root": "corpus",
        "vocabulary": {"size": 60},
        **{name: {"source": f"{name}.en", "target": f"{name}.de"} for name in names},
    }
    path = tmp_path / "files.yaml"
    path.write_text(yaml.safe_dump(tiny), encoding="utf-8")
    root = tmp_path / "run"

    def prepared() -> Recorder:
        reporter = Recorder()
        run(load_recipe(str(path)), root, stages=("prepare",), reporter=reporter)
        return reporter

    assert prepared().worked == ["prepare"]
    (corpus / "train.en").touch()
    assert prepared().worked == []
    text = (corpus / "test.de").read_text().replace("sentence", "Satz")
    (corpus / "test.de").write_text(text)
    reporter = prepared()
    assert reporter.said[0] == "prepare: runs again, the text of data.test.target changed"
    shutil.rmtree(corpus)
    assert prepared().worked == []
    (root / "text-digests.json").unlink()
    with pytest.raises(UserError, match=r"train\.en: cannot be read \(No such file"):
        prepared()


def test_a_hopeful_predictor_is_corrected(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device is slower than when the predictor was fitted, but for the largest; were no candidate
    within the constraint, the search is repeated below what the measurements suggest."""
    recipe, root = open_run(str(copy), None, ["search.constraints=[60%]"])
    largest = design_space(recipe).largest()
    choose = verified.choose

    def slower(architecture: Architecture, pair: tuple[int, int]) -> float:
        return flops_timer(architecture, pair) * (1 if architecture == largest else 1.25)

    def fail_first(result: Any, measure: Any, group: int, name: str, progress: Any) -> Any:
        chosen = choose(result, measure, group, name, progress)
        return replace(chosen, within=chosen.within and name != "attempt-0")

    monkeypatch.setattr(verified, "choose", fail_first)
    run(recipe, root, stages=("search",), timer=slower)
    (path,) = root.glob("steps/search/hat-60pct/*/found.json")
    found = json.loads(path.read_text())
    assert found["attempts"] == 2
    limit = found["constraint"]["limits"]["latency"]
    assert found["evolution"]["limits"]["latency"] == pytest.approx(limit / 1.25, rel=0.03)
    measured = found["verification"]["latency"]
    assert measured["high_ms"] <= 0.6 * measured["reference_ms"]


def test_the_series_that_decides_is_the_one_that_is_shown(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the search the machine has become faster for the largest alone: what was found is no longer
    within its constraint, whatever the search's verification said."""
    recipe, root = open_run(str(copy), None)
    largest = design_space(recipe).largest()
    (before,) = Run(root).constraints()
    shutil.rmtree(root / "steps/evaluate/latencies")
    for path in root.glob("measurements.sqlite*"):
        path.unlink()
    (searched,) = Run(root).constraints()
    assert before.replace("the rounds of all final models", "the search's verification") == searched

    def faster(architecture: Architecture, pair: tuple[int, int]) -> float:
        return flops_timer(architecture, pair) * (0.8 if architecture == largest else 1)

    run(recipe, root, timer=faster)
    models = {model["name"]: model for model in json.loads((root / "report.json").read_text())["models"]}
    found, reference = models["hat-70pct"], models["largest"]["latency_ms"]
    assert found["constraint"][0]["verdict"] == "not met"
    share = f"{100 * found['latency_ms'] / reference:.1f} % of the largest"
    assert f"| {share}, limit 70 %: not met |" in (root / "report.md").read_text()
    (line,) = Run(root).constraints()
    assert line.startswith(f"hat-70pct: {share} (")
    assert line.endswith("limit 70 %: not met, by the rounds of all final models")
    for command in ("search", "status"):
        with pytest.raises(SystemExit):
            main([command, str(root)])
        assert line in capsys.readouterr().out
