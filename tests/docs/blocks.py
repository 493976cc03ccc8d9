"""The blocks of code in a Markdown file."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
GUIDES = tuple(sorted(f"docs/add/{path.name}" for path in (ROOT / "docs" / "add").glob("*.md")))
FENCE = "```"
INDENT = "    "
# The line before a block: that it cannot run everywhere, or the place of its text in a file.
MARK = re.compile(r"<!-- (?P<mark>.+) -->")
NOT_RUN = "not run: "
LANGUAGES = ("sh", "python", "yaml", "text", "cpp", "cmake")
RUNNABLE = ("sh", "python")
CLAIM = re.compile(r"touches (\d) source files?.*? and (\d) files? of the\s+tests", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """`language`: as its fence says; of an indented block sh. `mark`: the text of the comment before it."""

    page: str
    line: int
    language: str
    text: str
    mark: str = ""

    @property
    def not_run(self) -> str | None:
        """The reason why it is not executed."""
        return self.mark.removeprefix(NOT_RUN) if self.mark.startswith(NOT_RUN) else None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str) -> list[Block]:
    """All blocks of a page, in order. Raises AssertionError for a fence without a known language."""
    found: list[Block] = []
    lines = (ROOT / page).read_text("utf-8").splitlines()
    mark = ""
    before, number = "", 0
    while number < len(lines):
        line = lines[number]
        if line.startswith(FENCE):
            language = line.removeprefix(FENCE).strip()
            assert language in LANGUAGES, f"{page}:{number + 1}: a fence says one of {', '.join(LANGUAGES)}"
            end = lines.index(FENCE, number + 1)
            found.append(_block(page, number + 1, language, lines[number + 1 : end], mark))
        elif line.startswith(INDENT) and not before.strip() and not _in_a_list(lines[:number]):
            end = number
            while end + 1 < len(lines) and (lines[end + 1].startswith(INDENT) or not lines[end + 1].strip()):
                end += 1
            text = [one.removeprefix(INDENT) for one in lines[number : end + 1]]
            found.append(_block(page, number + 1, "sh", text, mark))
        else:
            end = number
        if end > number or line.startswith(INDENT):
            mark = ""
        elif line.strip():
            marked = MARK.fullmatch(line.strip())
            mark = marked["mark"] if marked else ""
        before, number = lines[end], end + 1
    return found


def files_touched(guide: str) -> tuple[int, int]:
    """The numbers of source files and of test files that a guide says it touches."""
    claim = CLAIM.search((ROOT / guide).read_text("utf-8"))
    assert claim, f"{guide}: its first lines say how many files it touches"
    return int(claim[1]), int(claim[2])


def _block(page: str, line: int, language: str, text: list[str], mark: str) -> Block:
    return Block(page, line, language, "\n".join(text).strip("\n"), mark)


def _in_a_list(before: list[str]) -> bool:
    """True if indented text after these lines belongs to an item of a list."""
    for line in reversed(before):
        if re.match(r"([-*+]|\d+\.) ", line):
            return True
        if line.strip() and not line.startswith(" "):
            return False
    return False
