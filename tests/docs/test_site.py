"""The site of the pages and the Python interface."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

import hat
from tests.docs.blocks import GUIDES, PAGES, ROOT

CONFIGURATION = (ROOT / "mkdocs.yml").read_text("utf-8")


def listed(entries: list[object]) -> list[str]:
    """The pages in a part of the navigation."""
    pages: list[str] = []
    for entry in entries:
        content = next(iter(entry.values())) if isinstance(entry, dict) else entry
        pages += listed(content) if isinstance(content, list) else [str(content)]
    return pages


def test_the_navigation_has_every_page() -> None:
    navigation = yaml.safe_load(CONFIGURATION.partition("nav:\n")[2].partition("not_in_nav")[0])
    missing = {*PAGES, *GUIDES, "CONTRIBUTING.md"} - {*listed(navigation)}
    assert missing == set(), "they belong in the navigation of mkdocs.yml"


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    """Links and anchors within it are checked; what the pages show of the interface has its docstrings."""
    if not all(map(find_spec, ("material", "mkdocstrings_handlers"))):
        pytest.skip("mkdocs-material or mkdocstrings is absent; `make test-slow` installs the extra [docs]")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    page = (tmp_path / "site" / "api" / "hat.html").read_text("utf-8")
    for name in hat.__all__:
        assert name.startswith("__") or f'id="hat.{name}"' in page
    assert "<!-- " not in (tmp_path / "site" / "index.html").read_text("utf-8").partition("<article")[2]
    loaded = [
        line
        for line in page.splitlines()
        if 'src="http' in line or '<link rel="stylesheet" href="http' in line
    ]
    assert loaded == [], "pages load nothing from elsewhere"
