"""Citations of docs/reference.md name one of its sections."""

import re
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT

PAGE = "docs/reference.md"
SECTIONS = tuple(re.findall(r"^## (.+)$", (ROOT / PAGE).read_text("utf-8"), re.MULTILINE))
# The break of a citation that is on two lines of a comment or docstring.
BREAK = re.compile(r"\s*\n\s*(?:#|//)?\s*")


def citations() -> list[tuple[Path, str]]:
    """Each citation in the sources: its file, and the text that follows the page's name."""
    files = [
        path
        for folder in ("src", "native", "tests")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in (".py", ".cpp", ".h", ".txt") and path != Path(__file__)
    ]
    found = []
    for path in files:
        for rest in BREAK.sub(" ", path.read_text("utf-8")).split(PAGE)[1:]:
            found.append((path.relative_to(ROOT), rest))
    return found


def names_a_section(rest: str) -> bool:
    cited = (rest.removeprefix(f", {section}") for section in SECTIONS if rest.startswith(f", {section}"))
    return any(not left[:1].isalnum() for left in cited)


def test_every_section_that_is_cited_exists() -> None:
    found = citations()
    assert len(found) >= 15
    wrong = [f"{path}: {PAGE}{rest[:40]}" for path, rest in found if not names_a_section(rest)]
    assert wrong == []


@pytest.mark.parametrize("rest", ["", ", Beams", ", beam search", ", Beam", " Beam search", ", item 18"])
def test_what_names_no_section_is_seen(rest: str) -> None:
    assert names_a_section(", Beam search): of")
    assert not names_a_section(rest)


def test_nothing_cites_numbered_items_which_no_page_here_has() -> None:
    for folder in ("src", "native", "tests", "docs", "benchmarks"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".cpp", ".h", ".md"):
                assert not re.search(r"REFERENCE\s+items?\s+\d", path.read_text("utf-8")), path
