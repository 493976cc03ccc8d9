"""The pages of the site: the repository's own, at their paths there, so that their links hold in both
places; and one page for each package of `hat` that exports names. mkdocs calls these functions (mkdocs.yml).
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
# What pages are made of or link to.
SHOWN = (
    "README.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "docs/**/*",
    "benchmarks/*.*",
    "examples/*.py",
    "benchmarks/results/**/*",
    "benchmarks/data/**/*.md",
    "tests/golden/data/*.md",
)
# The marks of figures.py and of the tests. Markdown ends a paragraph where one stands at the start of a line.
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


def on_config(config: MkDocsConfig) -> None:
    """Add the pages of packages to the navigation, before its last entry."""
    assert config.nav is not None
    config.nav.insert(-1, {"API": [_page(package) for package in exports()]})


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The theme's files, the repository's, and the pages of packages."""
    chosen = Files([file for file in files if file.src_dir != config.docs_dir])
    for path in sorted(path for pattern in SHOWN for path in ROOT.glob(pattern)):
        if path.is_file():
            name = path.relative_to(ROOT).as_posix()
            chosen.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    for package, names in exports().items():
        members = ", ".join(names)
        content = f"# {package}\n\n::: {package}\n    options:\n      members: [{members}]\n"
        chosen.append(File.generated(config, _page(package), content=content))
    return chosen


def on_page_markdown(markdown: str, **_: object) -> str:
    """The page without comments."""
    return COMMENT.sub("", markdown)


def exports() -> dict[str, list[str]]:
    """The names in `__all__` of each package of `hat`, `hat` itself first."""
    return {package: names for package, names in _exports() if names}


def _exports() -> Iterator[tuple[str, list[str]]]:
    for path in sorted((ROOT / "src" / "hat").glob("**/__init__.py"), key=lambda path: path.parent):
        package = ".".join(path.parent.relative_to(ROOT / "src").parts)
        for statement in ast.parse(path.read_text("utf-8")).body:
            if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
                names: list[str] = ast.literal_eval(statement.value)
                yield package, [name for name in names if not name.startswith("__")]


def _page(package: str) -> str:
    return f"api/{package}.md"
