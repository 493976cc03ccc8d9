"""The stages of a run: one list, and no stage that needs another one's module."""

import ast
import subprocess
import sys
from pathlib import Path

from hat.pipeline import STAGES
from hat.pipeline import stages as package

FOLDER = Path(package.__file__).parent


def imported(path: Path) -> set[str]:
    """The modules and names that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_every_module_of_a_stage_is_listed() -> None:
    modules = {path.stem.replace("_", "-") for path in FOLDER.glob("[a-z]*.py")}
    assert modules == set(STAGES)


def test_stages_never_import_each_other() -> None:
    for path in FOLDER.glob("[a-z]*.py"):
        others = [name for name in imported(path) if name.startswith("hat.pipeline.stages")]
        assert not others, f"{path}: imports {others}; what stages share lives in the folders beside them"


def test_a_walk_through_the_pipeline_goes_one_way() -> None:
    """No module of the pipeline is reached again from what it imports."""
    root = FOLDER.parent.parent.parent
    files = {
        ".".join(path.relative_to(root).with_suffix("").parts): path
        for path in FOLDER.parent.rglob("[a-z]*.py")
    }
    graph = {
        name: {one.rpartition(".")[0] for one in imported(path)} & files.keys()
        for name, path in files.items()
    }
    while free := [name for name, used in graph.items() if not used & graph.keys()]:
        for name in free:
            del graph[name]
    assert not graph, f"these import each other in a circle: {', '.join(sorted(graph))}"


def test_the_list_of_stages_needs_no_training_library() -> None:
    absent = "{'torch', 'pydantic'} & sys.modules.keys()"
    script = f"import sys; from hat.pipeline import STAGES; print(len(STAGES), {absent})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"{len(STAGES)} set()\n"
