"""The commands over run folders, as far as they go in seconds."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from hat.data.builtin import write_builtin
from hat.data.settings import BuiltinSizes
from hat.pipeline import open_run
from tests.cli.conftest import Hat
from tests.pipeline.tiny import TINY
from tests.small_disk import resize, small_disk


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY, sort_keys=False), encoding="utf-8")
    return path


def test_stage_after_stage(hat: Hat, recipe: Path, tmp_path: Path) -> None:
    root = tmp_path / "run"
    result = hat("prepare", recipe, "--run-dir", root)
    assert result.code == 0
    assert "prepare: done in" in result.err
    assert f"`hat status {root}`" in result.err
    steps = json.loads(hat("status", root, "--json").out)["steps"]
    assert [(step["step"], step["state"]) for step in steps[:3]] == [
        ("prepare", "done"),
        ("train-super", "to do"),
        ("measure", "to do"),
    ]
    shown = hat("status", root, "--verify").out
    assert f"next: train-super; `hat train-super {root}` alone, or `hat run {root}`" in shown
    result = hat("fit", root)
    assert result.code == 2
    assert f"measure is not finished; run `hat measure {root}` first" in result.err
    result = hat("prepare", root, "--set", "data.vocabulary.size=400")
    assert "prepare: runs again, data.vocabulary.size 500 -> 400" in result.err
    assert "size: 400" in (root / "recipe.yaml").read_text()
    result = hat("prepare", root, "--set", "data.vocabulary.size=500")
    assert "prepare: done already" in result.err


def test_a_new_run_goes_on_after_an_override_that_was_refused(hat: Hat, recipe: Path, tmp_path: Path) -> None:
    root = tmp_path / "run"
    result = hat("prepare", recipe, "--run-dir", root, "--set", "data.vocabulary.size=100000")
    assert (result.code, "too large for this text" in result.err) == (2, True)
    assert "the run keeps the settings it had: data.vocabulary.size 500 (not 100000)" in result.err
    assert hat("prepare", root).code == 0


@pytest.mark.parametrize("file", ["my.yaml", "my own recipe.v2.yaml", "größer.yaml"])
def test_a_run_is_named_after_the_recipes_file(
    hat: Hat, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    """Whatever `name` the recipe has, which stays the title of its reports."""
    monkeypatch.chdir(tmp_path)
    content = {key: value for key, value in yaml.safe_load(recipe.read_text()).items() if key != "name"}
    root = Path("runs", Path(file).stem)
    for named in ({"name": "demo"}, {}):
        Path(file).write_text(yaml.safe_dump({**content, **named}), encoding="utf-8")
        assert hat("prepare", file).code == 0
        assert [path.name for path in Path("runs").iterdir()] == [root.name]
        saved = yaml.safe_load((root / "recipe.yaml").read_text(encoding="utf-8"))
        assert saved["name"] == named.get("name", root.name)
    assert f"next: train-super; `hat train-super {shlex.quote(str(root))}`" in hat("status", root).out
    for target in (root, root / "recipe.yaml"):
        assert "prepare: done already" in hat("prepare", target).err
    assert [path.name for path in Path("runs").iterdir()] == [root.name]


def test_the_demos_recipe_takes_files_as_its_comments_say(
    hat: Hat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_builtin(tmp_path, BuiltinSizes(train=1500, valid=40, test=20), seed=1)
    text = hat("recipe", "demo").out
    Path("my.yaml").write_text(text.replace("corpus: builtin ", "corpus: files ").replace("2400", "500"))
    assert hat("prepare", "my.yaml").code == 0
    (tokens,) = Path("runs/my").glob("steps/prepare/*/test.target.txt")
    assert tokens.read_text(encoding="utf-8") == Path("test.de").read_text(encoding="utf-8")


def test_a_run_of_a_built_in_recipe_is_named_after_it() -> None:
    assert open_run("demo")[1] == Path("runs/demo")


def test_a_run_on_a_full_disk_is_one_line_and_goes_on_when_there_is_room(
    hat: Hat, recipe: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", 64 << 10) as disk:
        result = hat("prepare", recipe, "--run-dir", disk / "run")
        assert (result.code, "prepare/" in result.err) == (1, True)
        assert result.err.endswith(": the disk is full; make room and run it again\n")
        assert "Traceback" not in result.err
        assert not list(disk.rglob("manifest.json"))
        resize(disk, 32 << 20)
        assert hat("prepare", disk / "run").code == 0
        assert hat("status", disk / "run", "--verify").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "none.yaml"), "none.yaml: no such recipe file"),
        (("run", "dmeo"), "dmeo: neither a run folder, nor a recipe file, nor a built-in recipe (demo"),
        (("status", "."), "not a run folder"),
        (("run", "tiny.yaml", "--set", "sedd=1"), "sedd: unknown key; the known keys are name"),
        (("run", "tiny.yaml", "--run-dir", "tiny.yaml"), "a file; a run needs a folder"),
        (("run", "tiny.yaml", "--run-dir", "."), "holds files but is not a run folder"),
        (("run", "multi30k", "--run-dir", "new"), "train.en.gz: cannot be read"),
        (("distill", "tiny.yaml"), "tiny.yaml: the recipe names no teacher"),
        (("prepare", "old"), "written by hat 7 in run format 99"),
        (("prepare", "tiny.yaml", "--run-dir", "old"), "written by hat 7 in run format 99"),
    ],
)
def test_mistakes(
    hat: Hat,
    recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "run.json").write_text('{"format": 99, "hat": "7"}')
    result = hat(*arguments)
    assert result.code == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1


def test_occupied_folder_and_sigterm(recipe: Path, tmp_path: Path) -> None:
    root = tmp_path / "run"
    command = [sys.executable, "-m", "hat.cli"]
    arguments = [str(recipe), "--run-dir", str(root), "--set", "super_training.updates=100000"]
    with subprocess.Popen([*command, "run", *arguments], stderr=subprocess.PIPE, text=True) as first:
        deadline = time.monotonic() + 120
        while not list(root.glob("steps/train-super/*/checkpoint.safetensors")):
            assert first.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        second = subprocess.run([*command, "prepare", str(root)], capture_output=True, text=True, check=False)
        assert second.returncode == 2
        assert second.stderr == f"hat: error: {root}: process {first.pid} is working in this run folder\n"
        os.kill(first.pid, signal.SIGTERM)
        _, errors = first.communicate(timeout=120)
    assert first.returncode == 143
    last = "hat: stopped after writing a checkpoint; the same command goes on from here"
    assert errors.splitlines()[-1] == last
