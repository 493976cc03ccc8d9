"""Every block of commands in the README and the pages of docs/ runs, in order, in a scratch folder."""

import shutil
from pathlib import Path

import pytest
import yaml

from hat.architecture import load_architecture
from hat.hardware import known_devices
from hat.pipeline import load_recipe, run
from tests.docs.blocks import PAGES, RUNNABLE, Block, blocks
from tests.docs.scratch import Scratch, furnish, text
from tests.pipeline.tiny import TINY

# Their commands take most of a minute; `make test-slow` runs them.
SLOW = ("docs/walkthrough.md", "docs/latency.md", "docs/compression.md", "docs/moving-over.md")


def _pages() -> list[object]:
    runnable = [page for page in PAGES if any(map(_runs, blocks(page)))]
    return [pytest.param(page, marks=pytest.mark.slow if page in SLOW else ()) for page in runnable]


def _runs(block: Block) -> bool:
    return block.language in RUNNABLE and block.not_run is None


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "my.yaml").write_text(yaml.safe_dump({**TINY, "name": "my"}))
    run(load_recipe(str(folder / "my.yaml")), folder / "run")
    return folder / "run"


@pytest.fixture
def scratch(tmp_path: Path, request: pytest.FixtureRequest) -> Scratch:
    """The folder that a page starts in: the README's has text alone, the others' a finished run too."""
    folder = tmp_path / "scratch"
    if request.node.callspec.params["page"] != "README.md":
        return furnish(folder, request.getfixturevalue("finished"))
    folder.mkdir()
    text(folder)
    return Scratch(folder)


@pytest.mark.parametrize("page", _pages())
def test_the_commands_of_a_page_run(scratch: Scratch, page: str) -> None:
    for block in blocks(page):
        if _runs(block):
            scratch.run(block)


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_shows_are_accepted(
    tmp_path: Path, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks(page):
        if block.language == "yaml":
            _check_yaml(block, tmp_path / "shown.yaml")


def _check_yaml(block: Block, path: Path) -> None:
    path.write_text(block.text)
    content = yaml.safe_load(block.text)
    if "devices" in content:
        assert content["devices"].keys() <= known_devices(path).keys()
    elif content.keys() & {"qkv_dim", "family"}:
        load_architecture(path)
    else:
        path.write_text(yaml.safe_dump({**TINY, "baselines": [*TINY["baselines"], *BASELINES], **content}))
        load_recipe(str(path))


BASELINES = [{**TINY["baselines"][0], "name": "transformer-3+2"}]


def test_a_new_block_is_found_and_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fenced and indented blocks run, unless they are marked; a mark is for one block alone."""
    monkeypatch.setattr("tests.docs.blocks.ROOT", tmp_path)
    page = "a\n\n    echo 1\n    echo 2\n\n```sh\nfalse\n```\n\n<!-- not run: needs a Pi -->\n\n"
    page += "    hat x\n\n    b\n\nc\n\n    d\n"
    (tmp_path / "page.md").write_text(
        f"{page}\n- item\n\n    of it\n\ntext\n\n```python\nif 1:\n    pass\n```\n"
    )
    found = blocks("page.md")
    assert [(one.language, one.text, one.not_run) for one in found] == [
        ("sh", "echo 1\necho 2", None),
        ("sh", "false", None),
        ("sh", "hat x\n\nb", "needs a Pi"),
        ("sh", "d", None),
        ("python", "if 1:\n    pass", None),
    ]
    with pytest.raises(AssertionError, match=r"page\.md:6: exit code 1"):
        Scratch(tmp_path / "scratch").run(found[1])
    (tmp_path / "page.md").write_text("```\nls\n```\n")
    with pytest.raises(AssertionError, match=r"page\.md:1: a fence says one of sh, python"):
        blocks("page.md")
    shutil.rmtree(tmp_path / "scratch")
