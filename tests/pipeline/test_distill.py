"""The distill stage: what it leaves, whom it teaches, what it refuses, and kills in its middle."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hat.data import SoftLabels, TokenStore
from hat.errors import UserError
from hat.pipeline import load_recipe, open_run, run, status
from hat.progress import Progress
from hat.runtime import Artefact
from tests.pipeline.run_content import content
from tests.pipeline.tiny import TINY, Recorder, flops_timer

BEFORE = ("prepare", "train-super", "measure", "fit", "search")


def taught(kind: str, teacher: str = "base") -> dict[str, Any]:
    recipe = deepcopy(TINY)
    recipe["data"]["builtin"]["train"] = 1500
    recipe["distillation"] = {"teacher": teacher, "kind": kind, "top_k": 4}
    return recipe


def write(recipe: dict[str, Any], path: Path) -> Path:
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run up to its search, for the tests to copy."""
    root = tmp_path_factory.mktemp("runs")
    recipe = load_recipe(str(write(taught("both"), root / "recipe.yaml")))
    run(recipe, root / "run", stages=BEFORE, timer=flops_timer)
    return root / "run"


@pytest.fixture
def root(searched: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(searched, tmp_path / "run"))


def go_on(root: Path, *overrides: str, stages: tuple[str, ...] = ("distill", "train")) -> Recorder:
    reporter = Recorder()
    recipe, folder = open_run(str(root), None, overrides)
    run(recipe, folder, stages=stages, timer=flops_timer, reporter=reporter)
    return reporter


def only(root: Path, pattern: str) -> Path:
    (path,) = root.glob(f"steps/{pattern}")
    return path


@pytest.mark.parametrize(
    ("kind", "worked"),
    [
        ("tokens", ["distill/tokens"]),
        ("sequences", ["distill/sequences"]),
        ("both", ["distill/sequences", "distill/tokens"]),
    ],
)
def test_each_kind_leaves_its_lessons_and_they_reach_the_student(
    root: Path, kind: str, worked: list[str]
) -> None:
    reporter = go_on(root, f"distillation.kind={kind}")
    rest = ["train/hat-70pct", "train/largest", "train/smallest"]
    assert reporter.worked == ["train/base", *worked, *rest]
    text = TokenStore.open(only(root, "prepare/*/train"))
    if kind != "tokens":
        original, text = text, TokenStore.open(only(root, "distill/sequences/*/train"))
        assert np.array_equal(text.source_tokens, original.source_tokens)
        assert text.digest != original.digest
    if kind != "sequences":
        labels = SoftLabels.open(only(root, "distill/tokens/*/train-labels"), text)
        ids, probabilities = labels.batch(np.arange(20))
        assert ids.shape[2] == 4
        assert np.all(np.diff(probabilities) <= 0), "the most probable first"
    student = only(root, "train/hat-70pct/*/artefact")
    told = Artefact.load(student).config.provenance["distillation"]
    assert ("teacher's soft labels" in told) == ("weight" in told) == (kind != "sequences")
    assert ("teacher's translations" in told) == (kind != "tokens")
    assert "distillation" not in Artefact.load(only(root, "train/base/*/artefact")).config.provenance

    assert go_on(root).worked == []
    weight = go_on(root, "distillation.weight=0.5")
    assert weight.worked == ([] if kind == "sequences" else ["train/hat-70pct"])
    beside = go_on(root, "distillation.references=true")
    assert beside.worked == ([] if kind == "tokens" else [*worked, "train/hat-70pct"])
    assert go_on(root, "distillation=null").worked == ["train/hat-70pct"]
    weights = {path.read_bytes() for path in root.glob("steps/train/hat-70pct/*/artefact/model.safetensors")}
    students = {"tokens": 3, "sequences": 3, "both": 4}
    assert len(weights) == students[kind], "each way of teaching gives another student"


def test_a_whole_run(root: Path) -> None:
    go_on(root, "distillation.kind=tokens", stages=(*BEFORE, "distill", "train", "evaluate"))
    report = json.loads((root / "report.json").read_text())
    assert list(report["costs"])[-3:] == ["train", "distill", "evaluate"]
    assert [model["name"] for model in report["models"]][:2] == ["base", "hat-70pct"]
    recipe, folder = open_run(str(root))
    assert {step.state for step in status(recipe, folder, verify=True)} == {"done"}
    steps = [(step.stage, step.step) for step in status(recipe, folder)]
    assert ("distill", "train/base") in steps
    assert len(steps) == len({step for _, step in steps}), "each step belongs to one stage"


def test_the_teacher_may_be_the_largest_or_an_artefact(root: Path, tmp_path: Path) -> None:
    largest = go_on(root, "distillation.teacher=largest", "distillation.kind=tokens")
    assert largest.worked[:2] == ["train/largest", "distill/tokens"]
    elsewhere = tmp_path / "teacher"
    shutil.copytree(only(root, "train/largest/*/artefact"), elsewhere)
    same = go_on(root, f"distillation.teacher={elsewhere}")
    assert same.worked == ["distill/tokens"], "equal labels teach the same"
    shutil.rmtree(elsewhere)
    assert go_on(root).worked == [], "what was made of it stays"


def test_training_asks_for_distillation(root: Path) -> None:
    with pytest.raises(UserError, match=r"distill/sequences is not finished; run `hat distill .*run` first"):
        go_on(root, stages=("train",))
    recipe, folder = open_run(str(root))
    states = {step.step: step.state for step in status(recipe, folder)}
    assert states["train/base"] == states["distill"] == states["train"] == "to do"


def test_mistakes_are_told_in_one_line(root: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"no model is called 'bse'; the choices are base, largest, or a path"
    ):
        load_recipe(str(write(taught("tokens", "bse"), tmp_path / "wrong.yaml")))
    with pytest.raises(UserError, match=r"wrong\.yaml:\d+: distillation\.top_k: .*not 0"):
        load_recipe(str(write(taught("tokens"), tmp_path / "wrong.yaml")), ["distillation.top_k=0"])
    with pytest.raises(UserError, match=r"nowhere/config\.json: cannot be read"):
        go_on(root, "distillation.teacher=./nowhere")
    with pytest.raises(UserError, match="top_k: 501 of a vocabulary of 500"):
        go_on(root, "distillation={teacher: largest, top_k: 501}")
    other = shutil.copytree(only(root, "train/largest/*/artefact"), tmp_path / "other")
    path = other / "tokenizer" / "joint.model"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(UserError, match="uses another vocabulary than this run"):
        go_on(root, f"distillation={{teacher: {other}}}")


def test_a_relative_teacher_is_looked_for_beside_the_recipe(tmp_path: Path) -> None:
    recipe = load_recipe(str(write(taught("tokens", "./teacher"), tmp_path / "recipe.yaml")))
    assert recipe.distillation is not None
    assert recipe.distillation.teacher == str(tmp_path / "teacher")


class Killer(Recorder):
    """Stops a step at one of its reports of progress, when something has been saved."""

    def __init__(self, step: str, report: int) -> None:
        super().__init__()
        self.step, self.left = step, report

    @contextmanager
    def working(self, name: str) -> Iterator[Progress]:
        def progress(done: float, total: float, note: str) -> None:
            if name == self.step:
                self.left -= 1
                if not self.left:
                    assert done < total
                    raise KeyboardInterrupt

        self.worked.append(name)
        yield progress


def test_killed_in_its_middle_it_ends_in_the_same_bytes(root: Path, tmp_path: Path) -> None:
    whole = Path(shutil.copytree(root, tmp_path / "whole" / "run"))
    go_on(whole, stages=("distill",))
    recipe, folder = open_run(str(root))
    for step, report in (("distill/sequences", 1), ("distill/tokens", 2)):
        with pytest.raises(KeyboardInterrupt):
            run(recipe, folder, stages=("distill",), reporter=Killer(step, report))
        assert {one.step: one.state for one in status(recipe, folder)}[step] == "unfinished"
    assert go_on(root, stages=("distill",)).worked == ["distill/tokens"]
    assert content(root) == content(whole)
