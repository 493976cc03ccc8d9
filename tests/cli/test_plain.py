"""On the plain install, without the packages of the [train] extra, a run can be looked at and asked."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from hat.pipeline import load_recipe, open_run, run, status
from hat.pipeline.last_status import saved_status
from hat.recipe.file import design_space
from tests.cli.conftest import Hat
from tests.pipeline.tiny import TINY, flops_timer

# pydantic is not among them where typer brings it along.
ABSENT = ("torch", "sacrebleu", "sklearn", "scipy", "tensorboard", "psutil", "sacremoses")
SCRIPT = (
    "import sys\nfrom importlib.machinery import PathFinder\n"
    "find = PathFinder.find_spec\n"
    "def blocking(name, *rest):\n"
    f"    return None if name.split('.')[0] in {ABSENT!r} else find(name, *rest)\n"
    "PathFinder.find_spec = blocking\n"
    "from hat.cli import main\nmain(sys.argv[1:])\n"
)
Plain = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def plain(tmp_path: Path) -> Plain:
    """Run `hat` as it is on a plain install."""

    def hat(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", SCRIPT, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    return hat


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a fitted predictor."""
    root = tmp_path_factory.mktemp("plain") / "run"
    recipe = root.parent / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(TINY), encoding="utf-8")
    run(load_recipe(str(recipe)), root, stages=("prepare", "measure", "fit"), timer=flops_timer)
    return root


@pytest.fixture
def root(fitted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(fitted, tmp_path / "run"))


def test_status_without_the_training_extra(plain: Plain, hat: Hat, root: Path) -> None:
    told = plain("status", root, "--verify", "--json")
    assert told.returncode == 0, told.stderr
    assert told.stdout == hat("status", root, "--verify", "--json").out
    steps = json.loads(told.stdout)["steps"]
    assert [(step["step"], step["state"]) for step in steps[:4]] == [
        ("prepare", "done"),
        ("train-super", "to do"),
        ("measure", "done"),
        ("fit", "done"),
    ]
    assert "next: train-super" in plain("status", root).stdout


def test_prediction_without_the_training_extra(plain: Plain, hat: Hat, root: Path, tmp_path: Path) -> None:
    largest = design_space(load_recipe(str(root / "recipe.yaml"))).largest()
    (tmp_path / "arch.json").write_text(json.dumps(largest.to_dict()))
    told = plain("predict", "arch.json", "--run", root, "--json")
    assert told.returncode == 0, told.stderr
    assert told.stdout == hat("predict", tmp_path / "arch.json", "--run", root, "--json").out
    assert json.loads(told.stdout)["device"] == "local"


def test_other_commands_name_the_extra(plain: Plain, root: Path) -> None:
    for arguments in (("run", "demo"), ("fit", root), ("status", root, "--set", "seed=2")):
        told = plain(*arguments)
        assert told.returncode == 2
        assert told.stderr.startswith(f"hat: error: `hat {arguments[0]}` needs ")
        assert "pip install 'hardware-aware-transformers[train]'" in told.stderr
        assert len(told.stderr.splitlines()) == 1


def test_status_says_where_it_cannot_know(plain: Plain, hat: Hat, root: Path) -> None:
    recipe = root / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("samples: 12", "samples: 13"))
    told = plain("status", root)
    assert told.returncode == 0
    assert "this is the status after the last command; recipe, text or HAT have changed since" in told.stderr
    steps = {step["step"]: step for step in json.loads(hat("status", root, "--json").out)["steps"]}
    assert steps["measure"]["state"] == "to do"
    assert steps["measure"]["changes"] == ["measure.samples 12 -> 13"]


def test_a_damaged_result_is_reported(plain: Plain, root: Path) -> None:
    (predictor,) = root.glob("steps/fit/*/predictor.json")
    text = predictor.read_text()
    predictor.write_text(text.replace("0", "1"))
    assert plain("status", root).returncode == 0
    assert "not the content the manifest names: damaged" in plain("status", root, "--verify").stderr
    predictor.write_text(text[:-10])
    assert "predictor.json: " in plain("status", root).stderr


def test_the_saved_status_is_that_which_is_found_out(root: Path) -> None:
    """After every stage, whether it has become current, and in the middle of a step."""
    recipe, _ = open_run(str(root))
    for stage in ("prepare", "train-super", "search", "train"):
        run(recipe, root, stages=(stage,), timer=flops_timer)
        saved = saved_status(root)
        assert saved is not None
        assert saved.current
        assert [asdict(one) for one in saved.steps] == [asdict(one) for one in status(recipe, root)]
    # A process that was killed after a step and before it could say so: other steps may be known now.
    (last,) = root.glob("steps/train/base/*/manifest.json")
    last.unlink()
    saved = saved_status(root)
    assert saved is not None
    assert not saved.current


def test_a_changed_text_is_noticed(tmp_path: Path) -> None:
    lines = "".join(f"a dog {number}\tein Hund {number}\n" for number in range(200))
    (tmp_path / "text.tsv").write_text(lines)
    part = {"tsv": "text.tsv"}
    data = {"train": part, "valid": part, "test": part, "vocabulary": {"size": 60}}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({**TINY, "data": data}))
    recipe, root = open_run(str(tmp_path / "own.yaml"), tmp_path / "run")
    run(recipe, root, stages=("prepare",))
    for change, current in (
        (lambda: None, True),
        (lambda: (tmp_path / "text.tsv").write_text("a\tb\n"), False),
    ):
        change()
        saved = saved_status(root)
        assert saved is not None
        assert saved.current is current
    (tmp_path / "text.tsv").unlink()
    saved = saved_status(root)
    assert saved is not None
    assert saved.current  # a text that has gone keeps its digest, as what was made of it stays
