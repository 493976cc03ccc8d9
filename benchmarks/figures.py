"""Every measured figure in the README and the pages of docs/ comes from a results file.

    python benchmarks/figures.py            # writes the figures of the newest results into the pages
    python benchmarks/figures.py --check    # lists those that differ, and then fails; `make test` does it too

A figure stands between marks that Markdown does not show:

    <!-- = en-de/hat-60pct/bleu .1f -->38.5<!-- . -->

The first mark names the figure's source: paths into results (SOURCES, DERIVED) or numbers, joined by + - * /
and computed from left to right, followed by a format of Python's; or it is the name of an entry of
figures.yaml with that content. A path with spaces is quoted. Items of lists are chosen by number (from 0) or
by the name of their model; * is the sum over all entries. A whole table stands between `<!-- table: NAME -->`
and `<!-- /table -->` (page_tables.py makes it). Links to dated results are changed to the newest results.
"""

import difflib
import re
import shlex
import sys
from collections.abc import Callable
from functools import cache
from operator import add, mul, sub, truediv
from pathlib import Path
from typing import Any

from hat.files import read_json, read_yaml
from page_tables import TABLES
from reports import all_of, newest, parser

ROOT = Path(__file__).resolve().parents[1]
LOG = ROOT / "docs" / "log.md"  # keeps the figures and the results of its dates
PAGES = (ROOT / "README.md", *(page for page in sorted((ROOT / "docs").glob("*.md")) if page != LOG))
NAMED: dict[str, str] = read_yaml(Path(__file__).with_name("figures.yaml"))
# Short name → kind of results, file, and the part of it in which paths start.
SOURCES = {
    "demo": ("demo", "report.json", "models"),
    "demo-run": ("demo", "report.json", ""),
    "multi30k": ("multi30k", "report.json", "models"),
    "multi30k-run": ("multi30k", "report.json", ""),
    "small": ("multi30k-small", "report.json", "models"),
    "small-run": ("multi30k-small", "report.json", ""),
    "en-de": ("headline", "report.json", "tasks/en-de/models"),
    "en-fr": ("headline", "report.json", "tasks/en-fr/models"),
    "fine-tuning": ("fine-tuning", "", "rows"),
    "distillation": ("distillation", "", "rows"),
    "ranking": ("ranking", "report.json", ""),
    "speed-4-bits": ("compression-speed", "", "rows"),
}


def int8_loss() -> dict[str, float]:
    """The largest loss in BLEU by int8 over all models whose translations were scored by engine, and the
    number of these models."""
    rows = [row for kind in QUALITY for row in read_json(newest(f"deployed-quality-{kind}"))["bleu"]]
    native = [row["native float32"] - row["native int8"] for row in rows if "native int8" in row]
    others = [row["torch float32"] - row["onnxruntime int8"] for row in rows if "onnxruntime int8" in row]
    return {"native": max(native), "models": len(native), "onnxruntime": max(others)}


def fine_tuned() -> dict[str, float]:
    """The gain in BLEU by fine-tuning code books, over the models that were fine-tuned."""
    rows = read_json(newest("compression-quality-multi30k"))["rows"]
    bleu = {(row["model"], row["variant"]): row["bleu"] for row in rows}
    models = dict.fromkeys(row["model"] for row in rows)
    won = {
        bits: [bleu[model, f"{bits} bits, fine-tuned"] - bleu[model, f"{bits} bits"] for model in models]
        for bits in (2, 4)
    }
    return {f"{end.__name__}-{bits}": end(values) for bits, values in won.items() for end in (min, max)}


QUALITY = ("demo", "multi30k", "en-de", "en-fr")
DERIVED: dict[str, Callable[[], dict[str, float]]] = {"int8-loss": int8_loss, "fine-tuned": fine_tuned}
OPERATORS: dict[str, Callable[[float, float], float]] = {"+": add, "-": sub, "*": mul, "/": truediv}
FIGURE = re.compile(r"<!-- = (?P<source>.+?) -->(?P<shown>.*?)<!-- \. -->", re.DOTALL)
TABLE = re.compile(r"<!-- table: (?P<name>[\w-]+) -->\n.*?<!-- /table -->", re.DOTALL)
# Links to dated results. Of these kinds the newest results of every machine stand side by side.
LINK = re.compile(r"benchmarks/results/(?P<kind>[a-z0-9-]+?)-\d{4}-\d\d-\d\d(?P<rest>\.json)?(?=[/)\]\s])")
EVERY_MACHINE = ("engines",)


def value_of(path: str) -> Any:
    """The value at the end of a path. Raises KeyError naming the part of the path that does not exist."""
    source, *keys = path.split("/")
    if source in DERIVED:
        value, start = DERIVED[source](), ""
    elif source in SOURCES:
        kind, file, start = SOURCES[source]
        value = _read(newest(kind) / file if file else newest(kind))
    else:
        raise KeyError(f"{path}: no results are called {source}; there are {', '.join([*SOURCES, *DERIVED])}")
    path_left = [*filter(None, start.split("/")), *keys]
    for index, key in enumerate(path_left):
        if isinstance(value, list):
            numbered = {str(number): row for number, row in enumerate(value)}
            value = {row["name"]: row for row in value if "name" in row} | numbered
        if key == "*":
            return sum(entry[path_left[index + 1]] for entry in value.values())
        if key not in value:
            raise KeyError(f"{path}: {key} is none of {', '.join(map(str, value))}")
        value = value[key]
    return value


@cache
def _read(path: Path) -> Any:
    return read_json(path)


def figure(source: str) -> str:
    """The formatted figure. Raises KeyError, ValueError."""
    first, *rest = shlex.split(NAMED.get(source, source))
    *steps, form = rest
    value = _operand(first)
    for operator, operand in zip(steps[::2], steps[1::2], strict=True):
        value = OPERATORS[operator](value, _operand(operand))
    return format(value, form).replace("-", "−") if not isinstance(value, str) else value


def _operand(text: str) -> Any:
    return float(text) if re.fullmatch(r"-?\d+(\.\d+)?(e\d+)?", text) else value_of(text)


def refreshed(text: str) -> str:
    """The page with figures, tables and links of the newest results."""
    text = TABLE.sub(
        lambda mark: f"<!-- table: {mark['name']} -->\n{TABLES[mark['name']]()}\n<!-- /table -->", text
    )
    text = FIGURE.sub(lambda mark: f"<!-- = {mark['source']} -->{figure(mark['source'])}<!-- . -->", text)
    return LINK.sub(_newest_link, text)


def _newest_link(link: re.Match[str]) -> str:
    if link["kind"] in EVERY_MACHINE or not all_of(link["kind"]):
        return link[0]
    return f"benchmarks/results/{newest(link['kind']).name}"


def differences() -> list[str]:
    """The changes that figures.py would make, as the lines of a diff."""
    lines: list[str] = []
    for page in PAGES:
        before = page.read_text("utf-8")
        name = str(page.relative_to(ROOT))
        texts = before.splitlines(), refreshed(before).splitlines()
        lines += difflib.unified_diff(*texts, name, f"{name} by its results", lineterm="", n=0)
    return lines


def write() -> None:
    """Refresh all pages."""
    for page in PAGES:
        page.write_text(refreshed(page.read_text("utf-8")), "utf-8")


def main() -> None:
    line = parser(__doc__)
    line.add_argument("--check", action="store_true")
    if not line.parse_args().check:
        write()
    elif lines := differences():
        print("\n".join([*lines, "", f"python {Path(__file__).relative_to(ROOT)} writes them"]))
        sys.exit(1)


if __name__ == "__main__":
    main()
