"""The choices of options: as constants for help, which imports none of the rooms that define them, and for
completion, which does. A test compares the constants with the rooms' own."""

from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import typer

from hat.errors import HatError

# ruff: noqa: PLC0415 (rooms are imported when a choice is completed)

ENGINES = ("native", "onnxruntime", "torch")
KMEANS_PRECISIONS = tuple(f"kmeans{bits}" for bits in range(1, 9))
PRECISIONS = ("float32", "bfloat16", "int8", *KMEANS_PRECISIONS)
COUNTED_PRECISIONS = ("float32", "bfloat16", "float16", "int8", *KMEANS_PRECISIONS)
PROCESSORS = ("cpu", "cuda")
FORMATS = ("artefact", "onnx")
EMBEDDING_FORMS = ("kmeans", "int8", "float32")
INITIALIZATIONS = ("linear", "k-means++")

Asked = ParamSpec("Asked")


def listed(names: Iterable[str], *more: str) -> Callable[[str], list[str]]:
    """Completion from a fixed list of choices."""
    known = (*names, *more)

    def complete(incomplete: str) -> list[str]:
        return [name for name in known if name.startswith(incomplete)]

    return complete


def _quietly(find: Callable[Asked, list[str]]) -> Callable[Asked, list[str]]:
    """The completion `find`, made to offer nothing where a file that it reads is wrong or absent."""

    @wraps(find)
    def complete(*args: Asked.args, **kwargs: Asked.kwargs) -> list[str]:
        try:
            return find(*args, **kwargs)
        except (HatError, OSError):
            return []

    return complete


@_quietly
def recipes(incomplete: str) -> list[str]:
    """Completion of built-in recipes."""
    from hat.zoo import recipe_names

    return listed(recipe_names())(incomplete)


@_quietly
def targets(incomplete: str) -> list[str]:
    """Completion of a stage's target: recipes by name, recipe files, run folders."""
    paths = _paths(incomplete, lambda path: _is_recipe_file(path) or _is_run(path))
    return _once([*recipes(incomplete), *_own_runs(incomplete), *paths])


@_quietly
def runs(incomplete: str) -> list[str]:
    """Completion of run folders: those in runs/, and those below the typed path."""
    return _once([*_own_runs(incomplete), *_paths(incomplete, _is_run)])


@_quietly
def artefacts(incomplete: str) -> list[str]:
    """Completion of folders that can translate: runs, artefacts and ONNX exports."""
    return _once([*_own_runs(incomplete), *_paths(incomplete, _is_model)])


@_quietly
def models(context: typer.Context, incomplete: str) -> list[str]:
    """Completion of the models in the run that the command line names before."""
    from hat.files import read_json

    # While an option still lacks its value, options and arguments cannot be told apart.
    words = (Path(str(word)) for word in (*context.params.values(), *context.args) if word)
    folder = next((word for word in words if _is_run(word)), None)
    return [] if folder is None else listed(read_json(folder / "models.json")["models"])(incomplete)


@_quietly
def devices(context: typer.Context, incomplete: str) -> list[str]:
    """Completion of devices to measure on, from the device file if the command line names one."""
    from hat.hardware import known_devices

    file = context.params.get("devices")
    return listed(known_devices(Path(str(file)) if file else None))(incomplete)


@_quietly
def zoo_models(incomplete: str) -> list[str]:
    """Completion of the zoo's models."""
    from hat.zoo.models import models as known

    return listed(dict.fromkeys(one.name for one in known()))(incomplete)


@_quietly
def zoo_tasks(incomplete: str) -> list[str]:
    """Completion of the tasks that models of the zoo were made for."""
    return listed(_of_results("task"))(incomplete)


@_quietly
def zoo_devices(incomplete: str) -> list[str]:
    """Completion of the devices that models of the zoo were measured on."""
    return listed(_of_results("device"))(incomplete)


@_quietly
def instruction_sets(incomplete: str) -> list[str]:
    """Completion of the native engine's kernels."""
    from importlib import import_module

    try:
        sets = import_module("hat.runtime._native").instruction_sets()
    except ImportError:
        return []
    return listed(("auto", *(one["name"] for one in sets if one["built"])))(incomplete)


def _own_runs(incomplete: str) -> list[str]:
    return listed(sorted(str(path.parent) for path in Path("runs").glob("*/run.json")))(incomplete)


def _of_results(key: str) -> list[str]:
    from hat.zoo.models import models as known

    return sorted({value for one in known() for result in one.results if (value := getattr(result, key))})


def _paths(incomplete: str, wanted: Callable[[Path], bool]) -> list[str]:
    """The wanted files and folders whose paths begin with `incomplete`, and the folders that lead there."""
    before, _, name = incomplete.rpartition("/")
    prefix = f"{before}/" if "/" in incomplete else ""
    beside = [path for path in sorted(Path(prefix or ".").iterdir()) if path.name.startswith(name)]
    shown = [path for path in beside if name or not path.name.startswith(".")]
    found = [f"{prefix}{path.name}" for path in shown if wanted(path)]
    return found + [f"{prefix}{path.name}/" for path in shown if path.is_dir() and not wanted(path)]


def _is_recipe_file(path: Path) -> bool:
    return path.suffix in (".yaml", ".yml", ".json") and path.is_file()


def _is_run(path: Path) -> bool:
    return (path / "run.json").is_file()


def _is_model(path: Path) -> bool:
    return _is_run(path) or (path / "config.json").is_file()


def _once(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))
