"""Each guide of docs/add, followed literally in a copy of the repository."""

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import GUIDES, ROOT, Block, blocks, files_touched

COPIED = (
    *("src", "tests", "native", "docs", "benchmarks", "examples", "scripts"),
    *("pyproject.toml", "constraints.txt", "Makefile", "README.md", "CONTRIBUTING.md", "mkdocs.yml"),
)
# The comment before a block: what is done with its text. Lines are named by how they begin. Behind a line's
# brackets: below the first later line that is less indented, which closes them.
EDIT = re.compile(
    r"(?P<verb>new file|insert into|replace in|append to):? (?P<path>[\w./-]+)"
    r"(, (?P<side>after|before|behind the brackets of)|)(: (?P<line>.+))?"
)
SECONDS = 1800


def edits(guide: str) -> Iterator[tuple[Block, re.Match[str]]]:
    """The blocks of a guide that belong into a file."""
    for block in blocks(guide):
        if block.mark:
            edit = EDIT.fullmatch(block.mark)
            assert edit, f"{block}: not the place of a block: {block.mark}"
            yield block, edit


def indentation(line: str) -> int:
    return len(line) - len(line.lstrip())


def apply(block: Block, edit: re.Match[str], folder: Path) -> None:
    """Change a file as a block says. Raises AssertionError where it does not fit."""
    path, text = folder / edit["path"], f"{block.text}\n"
    if edit["verb"] == "new file":
        assert not path.exists(), f"{block}: {edit['path']} is there already"
        path.write_text(text, "utf-8")
        return
    old = path.read_text("utf-8")
    if edit["verb"] == "append to":
        path.write_text(f"{old}\n\n{text}", "utf-8")
        return
    lines = old.splitlines(keepends=True)
    places = [number for number, line in enumerate(lines) if line.strip().startswith(edit["line"])]
    assert len(places) == 1, f"{block}: {len(places)} lines of {edit['path']} begin with {edit['line']}"
    (place,) = places
    if edit["verb"] == "replace in":
        lines[place] = text
    else:
        if edit["side"] == "behind the brackets of":
            depth = indentation(lines[place])
            place = next(
                n for n in range(place, len(lines)) if lines[n].strip() and indentation(lines[n]) < depth
            )
        apart = "\n\n" if text.startswith("def ") else ""  # between functions, as everyone writes them
        lines.insert(place + (edit["side"] != "before"), text + apart)
    path.write_text("".join(lines), "utf-8")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the repository with a .venv, in which the copy is installed beside this one's libraries."""
    folder = tmp_path / "copy"
    ignored = shutil.ignore_patterns("__pycache__", "results")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copy2(ROOT / name, folder / name)
    return folder


def install(folder: Path) -> None:
    """Make what `make install` makes. The compiled engine is the one of the running Python."""
    native = pytest.importorskip("hat.runtime._native", reason="no compiled engine")
    shutil.copy2(native.__file__, folder / "src" / "hat" / "runtime")
    venv.create(folder / ".venv")
    programs = folder / ".venv" / "bin"
    [packages] = (folder / ".venv").glob("lib/*/site-packages")
    libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    # A .pth file within these folders is not read: the editable installation of ROOT is left out.
    (packages / "copy.pth").write_text("\n".join([str(folder / "src"), *sorted(libraries)]))
    for name, module in (("pytest", "pytest"), ("mypy", "mypy"), ("hat", "hat.cli")):
        (programs / name).write_text(f'#!/bin/sh\nexec {programs}/python -P -m {module} "$@"\n')
        (programs / name).chmod(0o755)
    for name in ("ruff", "cmake"):
        (programs / name).symlink_to(Path(sys.executable).parent / name)
    subprocess.run(["make", "--touch", "install"], cwd=folder, capture_output=True, check=True)


@pytest.mark.parametrize("guide", GUIDES)
def test_its_blocks_fit_and_touch_as_many_files_as_it_says(guide: str, copy: Path) -> None:
    touched = set()
    for block, edit in edits(guide):
        apply(block, edit, copy)
        touched.add(edit["path"])
        before = "\n".join((ROOT / guide).read_text("utf-8").splitlines()[: block.line - 2])
        shown = re.sub("<!--.*?-->", "", before.rpartition("\n## ")[2])
        assert f"`{edit['path']}`" in shown, f"{block}: the text before it does not name {edit['path']}"
    python = [path for path in touched if path.endswith(".py")]
    for command in (["check"], ["format", "--check"]) if python else ():
        ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", *python]
        done = subprocess.run(ruff, cwd=copy, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    named = re.findall(r"`((?:src|tests|native|docs)/[\w/-]+\.\w+)`", (ROOT / guide).read_text("utf-8"))
    assert [path for path in named if "NAME" not in path and not (copy / path).exists()] == []
    in_tests = sum(path.startswith("tests/") for path in touched)
    assert files_touched(guide) == (len(touched) - in_tests, in_tests)


@pytest.mark.slow
@pytest.mark.parametrize("guide", GUIDES)
def test_whoever_follows_it_ends_with_passing_tests(
    guide: str, copy: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if "instruction" in guide and platform.machine() != "x86_64":
        pytest.skip("its example is for x86-64")
    for block, edit in edits(guide):
        apply(block, edit, copy)
    install(copy)
    caches = tmp_path_factory.getbasetemp() / "mypy"  # of all guides: most modules are the same
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "MYPY_CACHE_DIR": str(caches)}
    environment.pop("PYTHONPATH", None)
    (commands,) = (block for block in blocks(guide) if block.language == "sh")
    done = subprocess.run(
        ["bash", "-eu", "-c", commands.text],
        cwd=copy,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout[-5000:]}{done.stderr[-5000:]}"


@pytest.mark.parametrize("guide", GUIDES)
def test_the_source_that_it_extends_cites_it(guide: str) -> None:
    paths = {edit["path"] for _, edit in edits(guide) if edit["verb"] != "new file"}
    assert any(guide in (ROOT / path).read_text("utf-8") for path in paths if not path.startswith("tests/"))


def test_a_block_that_no_longer_fits_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "file.py"
    file.write_text("first(\n    second,\n)\n")

    def change(mark: str) -> None:
        edit = EDIT.fullmatch(mark)
        assert edit
        apply(Block("page.md", 1, "python", "new", mark), edit, tmp_path)

    change("insert into file.py, behind the brackets of: second")
    change("insert into file.py, after: second")
    change("insert into file.py, before: second")
    change("replace in file.py: first")
    change("append to file.py")
    assert file.read_text() == "new\nnew\n    second,\nnew\n)\nnew\n\n\nnew\n"
    for mark, reason in (
        ("insert into file.py, after: new", "5 lines"),
        ("replace in file.py: absent", "0 lines"),
        ("new file: file.py", "already"),
    ):
        with pytest.raises(AssertionError, match=reason):
            change(mark)
