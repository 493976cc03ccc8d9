"""The blocks of code in a Markdown file."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
FENCE = "```"
INDENT = "    "
# Before a block that cannot run everywhere, with the reason.
NOT_RUN = re.compile(r"<!-- not run: (?P<reason>.+) -->")
LANGUAGES = ("sh", "python", "yaml", "text")
RUNNABLE = ("sh", "python")


@dataclass(frozen=True)
class Block:
    """`language`: as its fence says; of an indented block sh. `not_run`: why it is not executed."""

    page: str
    line: int
    language: str
    text: str
    not_run: str | None = None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str) -> list[Block]:
    """All blocks of a page, in order. Raises AssertionError for a fence without a known language."""
    found: list[Block] = []
    lines = (ROOT / page).read_text("utf-8").splitlines()
    reason: str | None = None
    before, number = "", 0
    while number < len(lines):
        line = lines[number]
        if line.startswith(FENCE):
            language = line.removeprefix(FENCE).strip()
            assert language in LANGUAGES, f"{page}:{number + 1}: a fence says one of {', '.join(LANGUAGES)}"
            end = lines.index(FENCE, number + 1)
            found.append(_block(page, number + 1, language, lines[number + 1 : end], reason))
        elif line.startswith(INDENT) and not before.strip() and not _in_a_list(lines[:number]):
            end = number
            while end + 1 < len(lines) and (lines[end + 1].startswith(INDENT) or not lines[end + 1].strip()):
                end += 1
            text = [one.removeprefix(INDENT) for one in lines[number : end + 1]]
            found.append(_block(page, number + 1, "sh", text, reason))
        else:
            end = number
        if end > number or line.startswith(INDENT):
            reason = None
        elif line.strip():
            marked = NOT_RUN.fullmatch(line.strip())
            reason = marked["reason"] if marked else None
        before, number = lines[end], end + 1
    return found


def _block(page: str, line: int, language: str, text: list[str], reason: str | None) -> Block:
    return Block(page, line, language, "\n".join(text).strip("\n"), reason)


def _in_a_list(before: list[str]) -> bool:
    """True if indented text after these lines belongs to an item of a list."""
    for line in reversed(before):
        if re.match(r"([-*+]|\d+\.) ", line):
            return True
        if line.strip() and not line.startswith(" "):
            return False
    return False
