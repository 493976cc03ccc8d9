"""Every measured figure in the README and docs/ is that of a results file."""

import json
import re
from pathlib import Path

import pytest

import figures
import reports
from reports import newest
from tests.docs.blocks import PAGES, ROOT

# A number of what is measured, as it stands in prose.
MEASURED = re.compile(
    r"(?<![\w.])[+−]?\d[\d,]*(?:\.\d+)?\s?"
    r"(?:BLEU|chrF|ms|MB|GB/s|nats|tokens/s|times (?:as|faster|fewer|smaller|more))\b"
)
# What is no result of ours: phrases, with where they are from.
SAID = {
    "README.md": {"27.6 BLEU": "published by HAT's authors"},
    "docs/baselines.md": {"2.7 times faster": "published by HAT's authors", "3.6 times smaller": "published"},
    "docs/compression.md": {"227 MB": "published", "705 MB": "published"},
}
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def test_the_pages_have_the_figures_of_the_newest_results() -> None:
    assert figures.differences() == []


def test_a_figure_that_differs_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    bleu = f"{figures.value_of('en-de/hat-60pct/bleu'):.1f}"
    page.write_text("It has <!-- = en-de/hat-60pct/bleu .1f -->99.9<!-- . --> BLEU.\n")
    monkeypatch.setattr(figures, "ROOT", tmp_path)
    monkeypatch.setattr(figures, "PAGES", (page,))
    (told,) = [line for line in figures.differences() if line.startswith("+It")]
    assert f">{bleu}<" in told
    figures.write()
    assert figures.differences() == []
    assert f">{bleu}<" in page.read_text()


@pytest.mark.parametrize("page", [str(path.relative_to(ROOT)) for path in figures.PAGES])
def test_no_figure_stands_without_its_source(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    for pattern in (CODE, figures.TABLE, figures.FIGURE):
        text = pattern.sub("", text)
    found = {" ".join(match[0].split()) for match in MEASURED.finditer(text)}
    assert found - SAID.get(page, {}).keys() == set()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    for target in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", CODE.sub("", path.read_text("utf-8"))):
        assert (path.parent / target).exists(), target


def test_paths_that_lead_nowhere_are_refused() -> None:
    assert figures.figure("demo/hat-60pct/bleu / demo/hat-60pct/bleu .2f") == "1.00"
    assert figures.figure("1 - 3 + 0.5 .1f") == "−1.5"
    for told, message in (
        ("demos/x .1f", "no results are called demos"),
        ("en-de/hat-99pct/bleu .1f", "hat-99pct is none of transformer-6"),
    ):
        with pytest.raises(KeyError, match=message):
            figures.figure(told)


def test_a_figure_without_its_source_is_seen() -> None:
    for phrase in (
        "36.9 BLEU",
        "1.8 ms",
        "8.9 times as fast",
        "13.5 times fewer",
        "15 GB/s",
        "3 MB",
        "−1 nats",
    ):
        assert MEASURED.search(f"it has {phrase}, or so")
    assert not MEASURED.search("29,000 captions, 6+1 layers, 30 tokens, version 3.11")


def test_every_named_figure_is_used() -> None:
    texts = [(ROOT / page).read_text("utf-8") for page in PAGES]
    used = {found["source"] for text in texts for found in figures.FIGURE.finditer(text)}
    assert figures.NAMED.keys() <= used


def test_newer_results_come_into_the_pages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for path in reports.RESULTS.iterdir():
        (tmp_path / path.name).symlink_to(path)
    report = json.loads((newest("demo") / "report.json").read_text("utf-8"))
    for model in report["models"]:
        model["bleu"] = 12.3
    (tmp_path / "demo-2999-01-01").mkdir()
    (tmp_path / "demo-2999-01-01" / "report.json").write_text(json.dumps(report))
    monkeypatch.setattr(reports, "RESULTS", tmp_path)
    (table,) = [line for line in figures.differences() if line.startswith("+| hat-60pct*")]
    assert " 12.3 " in table
    assert any("benchmarks/results/demo-2999-01-01/pareto.svg" in line for line in figures.differences())
