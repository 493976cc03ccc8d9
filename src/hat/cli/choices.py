"""The choices of options: constants for help, functions for completion.

Help imports none of the rooms that own the choices; a test holds the constants equal to theirs.
"""

from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import typer

from hat.engine_specs import DEVICES
from hat.engine_specs import ENGINES as SPECS
from hat.errors import HatError
from hat.file_names import CONFIG, MODELS, RUN_FILE

KMEANS_PRECISIONS = tuple(f"kmeans{bits}" for bits in range(1, 9))
PRECISIONS = ("float32", "bfloat16", "int8", *KMEANS_PRECISIONS)
COUNTED_PRECISIONS = ("float32", "bfloat16", "float16", "int8", *KMEANS_PRECISIONS)
ENGINES, ACCELERATORS = tuple(SPECS), DEVICES
FORMATS = ("artefact", "onnx")
EMBEDDING_FORMS = ("kmeans", "int8", "float32")
INITIALIZATIONS = ("linear", "k-means++")

Arguments = ParamSpec("Arguments")


def listed(names: Iterable[str]) -> Callable[[str], list[str]]:
    """Completion from a fixed list of choices."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return complete


def _without_errors(complete: Callable[Arguments, list[str]]) -> Callable[Arguments, list[str]]:
    """A completion that offers nothing where a file that it reads is wrong or absent."""

    @wraps(complete)
    def completed(*args: Arguments.args, **kwargs: Arguments.kwargs) -> list[str]:
        try:
            return complete(*args, **kwargs)
        except (HatError, OSError):
            return []

    return completed


@_without_errors
def recipes(incomplete: str) -> list[str]:
    """Completion of built-in recipes."""
    from hat.zoo import recipe_names

    return listed(recipe_names())(incomplete)


@_without_errors
def targets(incomplete: str) -> list[str]:
    """Completion of a stage's target: recipes by name, recipe files, run folders."""
    paths = _paths(incomplete, lambda path: _is_recipe_file(path) or _is_run(path))
    return _unique([*recipes(incomplete), *_usual_runs(incomplete), *paths])


@_without_errors
def runs(incomplete: str) -> list[str]:
    """Completion of run folders: those in runs/, and those below the typed path."""
    return _unique([*_usual_runs(incomplete), *_paths(incomplete, _is_run)])


@_without_errors
def artefacts(incomplete: str) -> list[str]:
    """Completion of folders that can translate: runs, artefacts and ONNX exports."""
    return _unique([*_usual_runs(incomplete), *_paths(incomplete, _is_model)])


@_without_errors
def models(context: typer.Context, incomplete: str) -> list[str]:
    """Completion of the models in the run that the command line has named already."""
    from hat.files import read_json

    # The words may be options or arguments: these cannot be told apart while an option still lacks its value.
    words = (Path(str(word)) for word in (*context.params.values(), *context.args) if word)
    folder = next((word for word in words if _is_run(word)), None)
    return [] if folder is None else listed(read_json(folder / MODELS)["models"])(incomplete)


@_without_errors
def devices(context: typer.Context, incomplete: str) -> list[str]:
    """Completion of devices to measure on, from the device file if the command line names one."""
    from hat.hardware import known_devices

    file = context.params.get("devices")
    return listed(known_devices(Path(str(file)) if file else None))(incomplete)


@_without_errors
def zoo_models(incomplete: str) -> list[str]:
    """Completion of the zoo's models."""
    from hat.zoo.models import models as published

    return listed(dict.fromkeys(model.name for model in published()))(incomplete)


@_without_errors
def zoo_tasks(incomplete: str) -> list[str]:
    """Completion of the tasks that models of the zoo were made for."""
    return listed(_result_values("task"))(incomplete)


@_without_errors
def zoo_devices(incomplete: str) -> list[str]:
    """Completion of the devices that models of the zoo were measured on."""
    return listed(_result_values("device"))(incomplete)


@_without_errors
def instruction_sets(incomplete: str) -> list[str]:
    """Completion of the native engine's kernels."""
    from importlib import import_module

    try:
        sets = import_module("hat.runtime._native").instruction_sets()
    except ImportError:
        return []
    return listed(("auto", *(kernels["name"] for kernels in sets if kernels["built"])))(incomplete)


def _usual_runs(incomplete: str) -> list[str]:
    return listed(sorted(str(path.parent) for path in Path("runs").glob("*/run.json")))(incomplete)


def _result_values(key: str) -> list[str]:
    from hat.zoo.models import models as published

    results = (result for model in published() for result in model.results)
    return sorted({value for result in results if (value := getattr(result, key))})


def _paths(incomplete: str, wanted: Callable[[Path], bool]) -> list[str]:
    """The wanted files and folders whose paths begin with `incomplete`, and the folders that lead there."""
    before, _, name = incomplete.rpartition("/")
    prefix = f"{before}/" if "/" in incomplete else ""
    beside = [path for path in sorted(Path(prefix or ".").iterdir()) if path.name.startswith(name)]
    shown = [path for path in beside if name or not path.name.startswith(".")]
    matching = [f"{prefix}{path.name}" for path in shown if wanted(path)]
    return matching + [f"{prefix}{path.name}/" for path in shown if path.is_dir() and not wanted(path)]


def _is_recipe_file(path: Path) -> bool:
    return path.suffix in (".yaml", ".yml", ".json") and path.is_file()


def _is_run(path: Path) -> bool:
    return (path / RUN_FILE).is_file()


def _is_model(path: Path) -> bool:
    return _is_run(path) or (path / CONFIG).is_file()


def _unique(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))
