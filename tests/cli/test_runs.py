"""The commands over run folders, as far as they go in seconds."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

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


def test_default_run_folder(hat: Hat, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert hat("prepare", recipe).code == 0
    assert (tmp_path / "runs" / "tiny" / "run.json").is_file()


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
