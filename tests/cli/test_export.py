"""`hat export`."""

import io
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from hat.architecture import cost
from hat.errors import HatError
from hat.runtime import Artefact, CodeBooks
from tests.cli.conftest import ARCHITECTURE, LINES, Hat
from tests.small_disk import small_disk


@pytest.fixture
def run_folder(model: Path, tmp_path: Path) -> Path:
    for name in ("fast", "good"):
        Artefact.load(model).save(tmp_path / "run" / name)
    folders = {"fast": "fast", "good": "good"}
    catalogue = {"default": "fast", "models": folders, "trained": folders}
    (tmp_path / "run" / "models.json").write_text(json.dumps(catalogue))
    return tmp_path / "run"


@pytest.fixture
def onnx_exporter(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Stands in for the real exporter, whose tests are its own."""
    module = ModuleType("hat.export.onnx")

    def write_onnx(artefact: Artefact, folder: Path) -> None:
        for name in ("encoder.onnx", "decoder.onnx"):
            (folder / name).write_text(artefact.config.precision)
        config = artefact.config.to_dict() | {"format": "onnx-1"}
        (folder / "config.json").write_text(json.dumps(config))

    module.write_onnx = write_onnx  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hat.export.onnx", module)
    return module


@pytest.mark.parametrize("precision", ["int8", "bfloat16", "float32", "kmeans4", "kmeans1"])
def test_an_artefact_at_a_precision(hat: Hat, model: Path, tmp_path: Path, precision: str) -> None:
    result = hat("export", model, "--precision", precision, "--out", tmp_path / "out")
    assert result.code == 0, result.err
    written = Artefact.load(tmp_path / "out")
    original = Artefact.load(model)
    assert written.config.precision == precision
    for name, weight in original.at_precision(precision).float_weights().items():
        np.testing.assert_array_equal(written.float_weights()[name], weight)
    first, *files, published = result.out.splitlines()
    sizes = {str(p.relative_to(tmp_path / "out")): p.stat().st_size for p in (tmp_path / "out").rglob("*.*")}
    assert {line.split()[0]: int(line.split()[1].replace(",", "")) for line in files} == sizes
    others = sum(size for name, size in sizes.items() if name != "model.safetensors")
    whole = others + sum(weight.nbytes for weight in original.float_weights().values())
    assert f"{precision}, {sum(sizes.values()):,} bytes in 3 files" in first
    bits = {"float32": 32, "bfloat16": 16, "int8": 8, "kmeans4": 4, "kmeans1": 1}[precision]
    parameters = cost(ARCHITECTURE).parameters
    assert f"{parameters * bits // 8:,} bytes, {bits / 32:.3g} of {4 * parameters:,}" in published
    assert f"{sum(sizes.values()) / whole:.0%} of the {whole:,} with float32 weights" in first


def test_a_runs_model_by_name(hat: Hat, run_folder: Path, tmp_path: Path) -> None:
    assert hat("export", run_folder, "--out", tmp_path / "a").code == 0
    assert hat("export", run_folder, "--model", "good", "--out", tmp_path / "b").code == 0
    assert Artefact.load(tmp_path / "b").config.precision == "float32"
    result = hat("export", run_folder, "--model", "best", "--out", tmp_path / "c")
    assert "no model is called 'best'; the models are fast, good" in result.err
    assert not (tmp_path / "c").exists()


def test_what_was_exported_translates(
    hat: Hat, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hat("export", model, "--precision", "float32", "--out", tmp_path / "out")
    outputs = []
    for folder in (model, tmp_path / "out"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(LINES).encode())))
        outputs.append(hat("translate", folder, "--threads", 1).out)
    assert outputs[0] == outputs[1] != ""


def test_a_model_is_replaced_whatever_its_form(
    hat: Hat, model: Path, tmp_path: Path, onnx_exporter: ModuleType
) -> None:
    out = tmp_path / "out"
    for form, files in (("artefact", 3), ("onnx", 3), ("artefact", 3)):
        result = hat("export", model, "--precision", "int8", "--format", form, "--out", out)
        assert f"in {files} files" in result.out
        assert (out / "encoder.onnx").exists() == (form == "onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_failed_export_leaves_the_earlier_model(
    hat: Hat, model: Path, tmp_path: Path, onnx_exporter: ModuleType
) -> None:
    def fail(artefact: Artefact, folder: Path) -> None:
        (folder / "encoder.onnx").write_text("half of it")
        raise HatError("no luck")

    hat("export", model, "--out", tmp_path / "out")
    onnx_exporter.write_onnx = fail  # type: ignore[attr-defined]
    result = hat("export", model, "--format", "onnx", "--out", tmp_path / "out")
    assert (result.code, result.err) == (1, "hat: error: no luck\n")
    assert Artefact.load(tmp_path / "out").config.precision == "float32"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_missing_extra(
    hat: Hat, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, onnx_exporter: ModuleType
) -> None:
    def fail(artefact: Artefact, folder: Path) -> None:
        raise ModuleNotFoundError("No module named 'onnx'", name="onnx")

    onnx_exporter.write_onnx = fail  # type: ignore[attr-defined]
    result = hat("export", model, "--format", "onnx", "--out", tmp_path / "out")
    assert result.code == 2
    assert "needs onnx, which is not installed: pip install 'hardware-aware-transformers[onnx]'" in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--precision", "int3"), "precision: 'int3'; the choices are float32, bfloat16, int8"),
        (("--format", "keras"), "format: 'keras'; the choices are artefact, onnx"),
        (("--model", "x"), "a single model"),
        (("--precision", "kmeans9"), "kmeans7, kmeans8"),
        (
            ("--precision", "int8", "--code-book-rows", "32"),
            "are for --precision kmeans1 to kmeans8, not int8",
        ),
        (("--fine-tune", "5"), "are for --precision kmeans1 to kmeans8, not float32"),
        (("--precision", "kmeans4", "--code-book-rows", "20"), "rows: 20 is not a multiple of 32"),
        (("--precision", "kmeans4", "--embeddings", "int4"), "the choices are kmeans, int8, float32"),
        (("--precision", "kmeans4", "--initialization", "x"), "the choices are linear, k-means++"),
        (("--precision", "kmeans4", "--fine-tune", "5"), "a run has the text to train on"),
    ],
)
def test_mistakes(hat: Hat, model: Path, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    result = hat("export", model, "--out", tmp_path / "out", *arguments)
    assert result.code == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_code_books_follow_the_options(hat: Hat, model: Path, tmp_path: Path) -> None:
    options = ("--code-book-rows", 32, "--embeddings", "float32", "--initialization", "k-means++")
    result = hat("export", model, "--precision", "kmeans4", *options, "--out", tmp_path / "out")
    assert result.code == 0, result.err
    written = Artefact.load(tmp_path / "out")
    assert written.config.code_books == CodeBooks(32, "float32", "k-means++")
    np.testing.assert_array_equal(written.weights["embedding"], Artefact.load(model).weights["embedding"])
    assert hat("export", tmp_path / "out", "--out", tmp_path / "copy").code == 0
    assert Artefact.load(tmp_path / "copy").config == written.config
    result = hat("export", tmp_path / "out", "--code-book-rows", 64, "--out", tmp_path / "copy")
    assert "the model is kmeans4 already; only a float32 one can become kmeans4 with other" in result.err


@pytest.mark.parametrize(
    ("bits", "options", "rows"), [(4, (), 32), (5, (), 0), (4, ("--code-book-rows", 0), 0)]
)
def test_rows_that_share_a_code_book(
    hat: Hat, model: Path, tmp_path: Path, bits: int, options: tuple[object, ...], rows: int
) -> None:
    result = hat("export", model, "--precision", f"kmeans{bits}", *options, "--out", tmp_path / "out")
    assert result.code == 0, result.err
    written = Artefact.load(tmp_path / "out")
    assert written.config.code_books.rows == rows
    assert len(written.weights["embedding.codebook"]) == (
        -(-len(written.weights["embedding"]) // 32) if rows else 1
    )


def test_what_would_be_lost(
    hat: Hat, model: Path, tmp_path: Path, onnx_exporter: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("years of work")
    result = hat("export", model, "--out", tmp_path / "thesis")
    assert (result.code, "exists and is not a model" in result.err) == (2, True)
    Artefact.load(model).save(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    result = hat("export", "model", "--precision", "int8", "--out", tmp_path / "model")
    assert (result.code, "the model itself would be lost" in result.err) == (2, True)
    assert Artefact.load(tmp_path / "model").config.precision == "float32"


@pytest.mark.parametrize("place", ["loop", "loop/model"])
def test_a_loop_of_links_is_one_line(hat: Hat, model: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    result = hat("export", model, "--out", tmp_path / place)
    assert result.code in (1, 2)
    assert len(result.err.splitlines()) == 1
    assert "Error:" not in result.err


@pytest.mark.parametrize("place", ["steps/train/good/3f2a/artefact", "steps/new", "link/good"])
def test_the_results_of_a_run_are_not_replaced(
    hat: Hat, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    run = tmp_path / "run"
    result = run / "steps" / "train" / "good" / "3f2a" / "artefact"
    Artefact.load(model).save(result)
    (run / "run.json").write_text("{}")
    (run / "link").symlink_to(run / "steps" / "train")
    monkeypatch.chdir(tmp_path)
    before = sorted(run.rglob("*"))
    for command in (("export", model, "--precision", "int8"), ("import-checkpoint", "checkpoint.pt")):
        found = hat(*command, "--out", Path("run") / place)
        assert found.code == 2
        told = f"hat: error: run/{place}: belongs to the results of the run {run}; choose another place\n"
        assert found.err == told
    assert sorted(run.rglob("*")) == before
    assert Artefact.load(result).config.precision == "float32"
    assert hat("export", model, "--out", "run/model").code == 0


@pytest.mark.parametrize("form", ["artefact", "onnx"])
def test_a_full_disk_is_one_line(
    hat: Hat, model: Path, tmp_path: Path, form: str, onnx_exporter: ModuleType
) -> None:
    with small_disk(tmp_path / "disk", 4096) as disk:
        result = hat("export", model, "--format", form, "--out", disk / "out")
        told = f"hat: error: {disk / 'out'}: the disk is full; make room and run it again\n"
        assert (result.code, result.err) == (1, told)
        assert not list(disk.iterdir())


def test_other_things_are_refused_before_any_work(
    hat: Hat, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(*arguments: object) -> None:
        raise AssertionError("fine-tuned in vain")

    monkeypatch.setattr("hat.cli.commands.export._fine_tuned", trained)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("years of work")
    result = hat(
        "export", run_folder, "--precision", "kmeans4", "--fine-tune", 1, "--out", tmp_path / "thesis"
    )
    assert (result.code, "exists and is not a model" in result.err) == (2, True)


def test_only_float32_is_converted(hat: Hat, model: Path, tmp_path: Path, onnx_exporter: ModuleType) -> None:
    hat("export", model, "--precision", "int8", "--out", tmp_path / "int8")
    result = hat("export", tmp_path / "int8", "--precision", "bfloat16", "--out", tmp_path / "out")
    assert result.code == 2
    assert "the model is int8 already; only a float32 one can become bfloat16" in result.err
    assert hat("export", tmp_path / "int8", "--out", tmp_path / "copy").code == 0
    hat("export", model, "--format", "onnx", "--out", tmp_path / "onnx")
    assert "an ONNX export; only an artefact" in hat("export", tmp_path / "onnx", "--out", tmp_path / "x").err


def test_it_needs_no_training_library(model: Path, tmp_path: Path) -> None:
    code = """
import sys
for name in ("torch", "sklearn", "scipy", "psutil", "sacrebleu", "onnx", "onnxruntime"):
    sys.modules[name] = None
from hat.cli import main
main(sys.argv[1:])
"""
    arguments = ["export", str(model), "--precision", "int8", "--out", str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert Artefact.load(tmp_path / "out").config.precision == "int8"
