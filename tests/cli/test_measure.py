"""`hat measure`, `hat fit` and `hat predict` on a tiny run."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from hat.pipeline import load_recipe, run
from hat.predictor.published_sets import COLUMNS
from hat.recipe.file import design_space
from tests.cli.conftest import Hat
from tests.pipeline.tiny import TINY

FEW = ("--samples", "10", "--set", "measure.rounds=2")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("measure") / "run"
    recipe = root.parent / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(TINY), encoding="utf-8")
    run(load_recipe(str(recipe)), root, stages=("prepare",))
    return root


@pytest.fixture
def root(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "run"))


def test_measure_fit_predict(hat: Hat, root: Path, tmp_path: Path) -> None:
    result = hat("measure", root, *FEW, "--lengths", "8,6:12", "--precision", "float32", "--beam", 2)
    assert result.code == 0
    assert result.out.startswith("10 models measured on local, ± ")
    recipe = yaml.safe_load((root / "recipe.yaml").read_text())
    assert recipe["measure"]["lengths"] == [[8, 8], [6, 12]]
    assert (recipe["device"]["precision"], recipe["device"]["beam"]) == ("float32", 2)
    result = hat("fit", root)
    assert "held-out error" in result.out
    assert "twice as many measurements would bring it to about" in result.out
    found = json.loads(hat("fit", root, "--json").out)
    assert found["device"] == "local"
    assert found["samples"] == 4  # half of the ten without the ends of the space
    (tmp_path / "arch.json").write_text(
        json.dumps(design_space(load_recipe(str(root / "recipe.yaml"))).largest().to_dict())
    )
    told = json.loads(hat("predict", tmp_path / "arch.json", "--run", root, "--json").out)
    assert told["pairs"] == [[6, 12], [8, 8]]
    assert 0 < told["latency_ms"] < 1000
    assert "ms a sentence" in hat("predict", tmp_path / "arch.json", "--run", root, "--lengths", 30).out


def test_two_devices_and_their_measurements_as_csv(hat: Hat, root: Path, tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text("devices: {one: {threads: 1}, two: {threads: 1}}")
    both = "--device", "one", "--device", "two", "--devices", tmp_path / "lab.yaml"
    result = hat("measure", root, *FEW, *both, "--engine", "auto")
    assert result.code == 0, result.err
    assert "one: measure: done in" in result.err
    assert "two: measure: done in" in result.err
    assert "10 models measured on one, ± " in result.out
    assert "20 measurements written" in hat("measure", root, "--export", tmp_path / "out.csv").err
    result = hat("measure", root, "--import", tmp_path / "out.csv")
    assert result.code == 0
    assert result.err == f"{tmp_path / 'out.csv'}: 0 of 20 measurements added, 20 known already\n"
    assert hat("measure", root, "--export", tmp_path / "out.csv").code == 0
    (tmp_path / "notes.csv").write_text("years,of\nwork,1")
    assert "exists and is not an export" in hat("measure", root, "--export", tmp_path / "notes.csv").err
    assert (tmp_path / "notes.csv").read_text() == "years,of\nwork,1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--device", "pi"), "no device is called pi; the known ones are local"),
        (("--devices", "none.yaml"), "none.yaml: No such file"),
        (("--samples", "few"), "measure.samples"),
        (("--samples", "3"), "3 models are too few"),
        (("--lengths", "long"), "--lengths 'long': write from-data, one length as 30"),
        (("--lengths", "1:1"), "lengths of at least 2 tokens"),
        (("--engine", "warp"), "no engine is called 'warp'; the engines are auto, native"),
        (("--precision", "int3"), "device.precision"),
        (("--import", "none.csv"), "none.csv: No such file"),
        (("--export", "out.csv"), "nothing has been measured"),
    ],
)
def test_mistakes(
    hat: Hat, root: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(root.parent)
    result = hat("measure", "run", *arguments)
    assert result.code == 2
    assert message in result.err
    assert "Traceback" not in result.err


def test_a_path_is_taken_as_it_is(hat: Hat, root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lab: #1"
    folder.mkdir()
    (folder / "2024-01-01.csv").write_text("colour\nred\n")
    result = hat("measure", root, "--import", folder / "2024-01-01.csv")
    assert (result.code, f"{folder}/2024-01-01.csv:1: unknown column colour" in result.err) == (2, True)
    (folder / "devices.yaml").write_text("devices: {}")
    result = hat("measure", root, "--device", "yes", "--devices", folder / "devices.yaml")
    assert (result.code, "no device is called yes; the known ones are local" in result.err) == (2, True)


def test_a_bad_csv_leaves_the_run_as_it_was(hat: Hat, root: Path, tmp_path: Path) -> None:
    (tmp_path / "set.csv").write_text("encoder_embed_dim,colour\n512,red\n")
    before = (root / "recipe.yaml").read_text()
    result = hat("measure", root, "--import", tmp_path / "set.csv")
    assert result.code == 2
    assert "set.csv:1: unknown column colour; the columns are encoder_embed_dim" in result.err
    assert not list(root.glob("steps/measure/*/manifest.json"))
    assert "latencies: null" in before


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (3, "3 measurements for 3 architectures; a predictor needs at least 8"),
        (9, "a predictor needs at least two architectures"),
    ],
)
def test_published_latencies_that_no_predictor_can_be_fitted_to_are_not_kept(
    hat: Hat, root: Path, tmp_path: Path, rows: int, message: str
) -> None:
    values = dict.fromkeys(COLUMNS, "1")
    lines = [",".join(values), *[",".join(values.values())] * rows]
    (tmp_path / "set.csv").write_text("\n".join(lines) + "\n")
    before = (root / "recipe.yaml").read_text()
    result = hat("measure", root, "--import", tmp_path / "set.csv")
    assert (result.code, f"set.csv: {message}" in result.err) == (2, True)
    assert (root / "recipe.yaml").read_text() == before
    assert not list(root.glob("steps/measure/*/manifest.json"))
