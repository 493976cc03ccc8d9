"""The rooms of the house and who may use whom (transitively): arrows point one way."""

import ast
import re
from pathlib import Path

import pytest

from house import circles, import_graph, module_name

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "hat"

# What every room stands on; these import nothing above them.
GROUND = {
    *("arguments", "characters", "control_groups", "disk", "engine_specs", "errors", "file_names", "files"),
    *("intervals", "lazy_names", "lines", "memory", "progress", "sections", "sentences", "strict_json"),
    *("strict_yaml", "threads", "tokens", "version"),
}

ALLOWED: dict[str, set[str]] = {
    "architecture": set(),
    "space": {"architecture"},
    "zoo": {"architecture", "space"},
    "data": set(),
    "model": {"architecture", "runtime"},
    "training": {"model", "data", "space"},
    "predictor": {"architecture"},
    "hardware": {"architecture", "space", "runtime", "predictor"},
    "search": {"space", "hardware", "training"},
    "compression": {"model"},
    "runtime": {"architecture"},
    "export": {"model", "compression", "runtime"},
    "evaluation": {"model", "runtime", "data"},
    "interop": {"model", "compression", "runtime"},
    "report": set(),
    "recipe": {"zoo", "data", "training", "hardware", "search"},
    "pipeline": {"*"},
    "cli": {"*"},
}

# What a device installs: never torch, nor anything else of the [train] extra.
DEVICE_ROOMS = ("architecture", "runtime")
TRAIN_ONLY = {"torch", "pydantic", "sacrebleu", "sklearn", "scipy", "tensorboard", "psutil", "backports"}


def closure(room: str) -> set[str]:
    """Every room that `room` may use, through others too."""
    reached: set[str] = set()
    todo = [room]
    while todo:
        for used in ALLOWED[todo.pop()] - reached:
            if used == "*":
                return set(ALLOWED)
            reached.add(used)
            todo.append(used)
    return reached | {room}


def imports(path: Path) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            names = (
                [f"hat.{alias.name}" for alias in node.names] if node.module == "hat" else [node.module or ""]
            )
            found += [(node.lineno, name) for name in names]
    return found


def test_modules_do_not_import_in_circles() -> None:
    paths = [path for suffix in ("py", "pyi") for path in SOURCE.rglob(f"*.{suffix}")]
    graph = import_graph({module_name(path.relative_to(ROOT)): path.read_text("utf-8") for path in paths})
    assert "hat.runtime" in graph["hat.model.engine"], "the __init__ of another package counts"
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == [["b", "c"]]
    assert circles(graph) == []


def test_every_room_is_in_the_table() -> None:
    rooms = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}
    assert rooms <= set(ALLOWED)


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_imports_follow_the_table(room: str) -> None:
    # hat.Run is the face of the pipeline.
    face = {"Run"} if room == "cli" else set()
    allowed = closure(room) | GROUND | face
    for path in (SOURCE / room).rglob("*.py"):
        for line, name in imports(path):
            parts = name.split(".")
            if parts[0] == "hat":
                assert len(parts) > 1, f"{path}:{line}: imports hat itself"
                assert parts[1] in allowed, f"{path}:{line}: {room} may not use hat.{parts[1]}"


@pytest.mark.parametrize("module", sorted(GROUND))
def test_the_ground_stands_on_itself(module: str) -> None:
    for line, name in imports(SOURCE / f"{module}.py"):
        assert not name.startswith("hat.") or name.split(".")[1] in GROUND, f"{module}.py:{line}: {name}"


@pytest.mark.parametrize("room", DEVICE_ROOMS)
def test_the_device_install_needs_no_training_library(room: str) -> None:
    for path in (SOURCE / room).rglob("*.py"):
        for line, name in imports(path):
            assert name.split(".")[0] not in TRAIN_ONLY, f"{path}:{line}: {name}"


def test_the_table_in_contributing_is_this_one() -> None:
    text = (SOURCE.parents[1] / "CONTRIBUTING.md").read_text("utf-8")
    table = {
        room: {"*" if one == "all" else one for one in used.split(", ") if one != "–"}
        for room, used in re.findall(r"^\| `hat\.(\w+)` \| (.*?)(?: \(.*\))? \|$", text, re.MULTILINE)
    }
    assert table == ALLOWED
