"""CONTRIBUTING.md: its tree and its table of rooms are those of the code."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import GUIDES, ROOT, blocks, files_touched

PAGE = "CONTRIBUTING.md"
TEXT = (ROOT / PAGE).read_text("utf-8")
INDENT = 2


def tree(text: str) -> Iterator[str]:
    """The paths of an annotated tree; those of folders end in a slash."""
    above: list[str] = []
    for line in text.splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // INDENT
        assert depth <= len(above), f"{PAGE}: {name} is indented too far"
        del above[depth:]
        yield "".join([*above, name])
        if name.endswith("/"):
            above.append(name)


def folders(of: Path) -> set[str]:
    """All folders with files below a folder, and itself."""
    parents = {path.parent for path in of.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    return {
        f"{one.relative_to(ROOT).as_posix()}/"
        for path in parents
        for one in (path, *path.parents)
        if of in (one, *one.parents)
    }


TREE = {path for block in blocks(PAGE) if block.language == "text" for path in tree(block.text)}


def test_the_tree_of_a_page_is_read_with_its_folders() -> None:
    text = "a/   room\n  b/c/  two\n    d.py  file\n  e.py\nf/"
    assert list(tree(text)) == ["a/", "a/b/c/", "a/b/c/d.py", "a/e.py", "f/"]


@pytest.mark.parametrize("root", ["src/hat", "native"])
def test_the_tree_names_every_folder(root: str) -> None:
    assert {path for path in TREE if path.startswith(f"{root}/") and path.endswith("/")} == folders(
        ROOT / root
    )


def test_everything_in_the_tree_is_there() -> None:
    assert [path for path in sorted(TREE) if not list(ROOT.glob(path))] == []


@pytest.mark.parametrize("folder", ["src/hat", "native/kernels", "native/engine"])
def test_the_tree_names_the_files_of_a_folder(folder: str) -> None:
    listed = {path for name in TREE if name.startswith(f"{folder}/") for path in ROOT.glob(name)}
    files = {path for path in (ROOT / folder).glob("*.*") if path.suffix in (".py", ".cpp", ".h")}
    files.discard(ROOT / folder / "__init__.py")
    assert files <= listed


def test_it_links_every_guide_and_says_how_many_files_it_touches() -> None:
    listed = re.findall(r"^\| \[.*?\]\((docs/add/.*?)\).* \| (\d) \|$", TEXT, re.MULTILINE)
    assert {guide: int(count) for guide, count in listed} == {
        guide: files_touched(guide)[0] for guide in GUIDES
    }
