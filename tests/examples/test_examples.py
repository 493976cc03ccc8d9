"""The examples run from their first line to their last, one after the other, and print what they promise."""

import os
import runpy
from pathlib import Path

import pytest

from tests.benchmarks.public_names import imports, misuse

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working directory of all examples, which share a run."""
    return tmp_path_factory.mktemp("examples")


def run(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    before = Path.cwd()
    os.chdir(folder)
    try:
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    finally:
        os.chdir(before)
    return capsys.readouterr().out


def test_from_text_to_a_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run("text_to_model", folder, capsys)
    assert "hat-70pct: " in out
    assert all(f"{name} " in out for name in ("largest", "smallest"))


def test_predicting_and_searching(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not (folder / "runs").exists():
        run("text_to_model", folder, capsys)
    out = run("predict_and_search", folder, capsys)
    assert "held-out error" in out
    assert "inf" not in out
    assert "evolution: " in out


def test_translating(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not (folder / "runs").exists():
        run("text_to_model", folder, capsys)
    assert "en to de, int8 weights" in run("translate", folder, capsys)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_needs_public_names_only(path: Path) -> None:
    assert not [found for found in map(misuse, imports(path)) if found]
