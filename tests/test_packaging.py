"""The files of an installation, with and without a compiler."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OBJECTS = sorted(ROOT.glob("build/cp*/CMakeFiles/hat_native.dir/kernels/isa_*.o"))
DATA = ("py.typed", "zoo/published_models.json", "zoo/recipes/demo.yaml", "data/grammar/nouns.txt")


@pytest.mark.parametrize("unit", OBJECTS, ids=lambda path: path.name)
def test_no_inline_function_leaves_a_unit(unit: Path) -> None:
    """The linker keeps one of several equal inline functions, which may be one that was compiled for
    instructions this processor lacks."""
    if shutil.which("nm") is None:
        pytest.skip("binutils are not installed")
    symbols = subprocess.run(["nm", "-C", str(unit)], capture_output=True, text=True, check=True).stdout
    weak = [line for line in symbols.splitlines() if line[17:18] in "WVu" and line[17:18]]
    assert weak == []
    assert "::kernels" in symbols


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of what the wheel is made from."""
    copy = tmp_path / "sources"
    for folder in ("src", "native"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    return copy


def build(sources: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Make a wheel beside the sources; `environment` comes on top of the process's own."""
    pytest.importorskip("scikit_build_core", reason="`make install` brings the build tools")
    command = [sys.executable, "-m", "pip", "wheel", "--verbose", "--no-deps", "--no-build-isolation"]
    return subprocess.run(
        [*command, "--no-index", "--wheel-dir", str(sources.parent), str(sources)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HAT_REQUIRE_NATIVE": "", **environment},
    )


def wheel_of(sources: Path) -> tuple[str, set[str]]:
    """The one wheel that was made: its tag, and the files it holds below hat/."""
    [wheel] = sources.parent.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name.removeprefix("hat/") for name in archive.namelist() if name.startswith("hat/")}
    return wheel.stem.split("-", 2)[2], names


def test_the_source_distribution_holds_what_the_wheel_is_made_from(tmp_path: Path) -> None:
    pytest.importorskip("scikit_build_core", reason="`make install` brings the build tools")
    code = f"from scikit_build_core.build import build_sdist; build_sdist({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    [archive] = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        names = {name.split("/", 1)[1] for name in files.getnames()}
    assert names >= {"pyproject.toml", "README.md", "LICENSE", "native/CMakeLists.txt", "src/hat/__init__.py"}
    assert names >= {f"src/hat/{name}" for name in DATA}
    assert not {name.split("/")[0] for name in names} & {"tests", "benchmarks"}


@pytest.mark.slow
def test_without_a_compiler_the_wheel_is_pure_python(sources: Path) -> None:
    done = build(sources, CXX="/bin/false")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "native engine could not be compiled" in done.stdout + done.stderr
    tag, names = wheel_of(sources)
    assert tag == "py3-none-any"
    assert names >= {"runtime/native.py", *DATA}
    assert not [name for name in names if name.endswith(".so")]


@pytest.mark.slow
def test_the_native_engine_can_be_required(sources: Path) -> None:
    done = build(sources, CXX="/bin/false", HAT_REQUIRE_NATIVE="1")
    assert done.returncode != 0
    assert "not able to compile a simple test program" in done.stdout + done.stderr
    assert list(sources.parent.glob("*.whl")) == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
def test_with_a_compiler_the_wheel_holds_the_module(sources: Path) -> None:
    done = build(sources)
    assert done.returncode == 0, done.stdout + done.stderr
    tag, names = wheel_of(sources)
    assert tag.startswith(f"cp{sys.version_info.major}{sys.version_info.minor}-")
    assert names >= set(DATA)
    assert [name for name in names if name.startswith("runtime/_native.") and name.endswith(".so")]
