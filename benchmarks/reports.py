"""The dated results `results/KIND-DATE`, a folder or a JSON file: found, and written by the benchmarks."""

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from hat.files import write_json, write_text
from hat.hardware import environment

RESULTS = Path(__file__).resolve().parent / "results"


def all_of(kind: str) -> list[Path]:
    """All results of a kind, the oldest first: several only of kinds that are kept for each machine."""
    dated = re.compile(rf"{re.escape(kind)}-\d{{4}}-\d\d-\d\d(\.json)?")
    return sorted(
        (path for path in RESULTS.iterdir() if dated.fullmatch(path.name)), key=lambda path: path.stem
    )


def newest(kind: str) -> Path:
    """The newest results of a kind. Raises FileNotFoundError if there are none."""
    results = all_of(kind)
    if not results:
        raise FileNotFoundError(f"{RESULTS}: no results called {kind}-DATE")
    return results[-1]


def parser(about: str | None, kind: str = "", suffix: str = "") -> argparse.ArgumentParser:
    """The command line of a benchmark: --help prints `about`; --output names the place of its results, by
    default that of today's results of the kind."""
    line = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    if kind:
        default = RESULTS / f"{kind}-{date.today()}{suffix}"
        line.add_argument("--output", type=Path, default=default)
    return line


def save_record(path: Path, **content: Any) -> None:
    """Write results to a JSON file, with the date and the machine."""
    write_json(path, {"date": str(date.today()), **content, "environment": environment()})


def save_report(folder: Path, report: Mapping[str, Any], markdown: str) -> None:
    """Write a report for programs and for people, and print the latter."""
    write_json(folder / "report.json", report)
    write_text(folder / "report.md", markdown)
    print(markdown)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], align: str = "---:") -> str:
    """A table in Markdown; all columns but the first are aligned alike."""
    rule = ["---", *[align] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))
