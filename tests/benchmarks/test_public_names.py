"""Benchmarks use HAT as anyone can: by the names that `hat` and its rooms export."""

import ast
from pathlib import Path

import pytest

from tests.benchmarks.public_names import imports, misuse

SCRIPTS = sorted((Path(__file__).parents[2] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_benchmark_needs_public_names_only(path: Path) -> None:
    assert not [found for found in map(misuse, imports(path)) if found]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_benchmark_touches_nothing_private(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            assert owner in ("self", "cls"), f"{path.name}:{node.lineno}: {ast.unparse(node)}"


def test_an_inner_or_private_name_is_noticed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import hat\nimport hat.data\nfrom hat import Run\nfrom hat.data.store import TokenStore\n"
        "from hat.data import _hidden\nfrom hat.data import store\nfrom hat.files import read_json\n"
    )
    assert [found and found.split(":")[1] for found in map(misuse, imports(script))] == [
        *(None, "2", None, "4", "5", "6", None)
    ]
