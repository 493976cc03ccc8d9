"""The choices of options: constants for help, functions for completion.

Help imports none of the rooms that own the choices; a test holds the constants equal to theirs.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

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

Completion = Callable[[typer.Context, str], list[str]]


def _completion(choices: Callable[[typer.Context, str], Iterable[str]]) -> Completion:
    """A completion with those choices that begin with the typed text; they are read when it is typed.

    Where a file that they are read from is wrong or absent, there are none.
    """

    def complete(context: typer.Context, incomplete: str) -> list[str]:
        try:
            return [
                name for name in dict.fromkeys(choices(context, incomplete)) if name.startswith(incomplete)
            ]
        except (HatError, OSError):
            return []

    return complete


def listed(names: Iterable[str]) -> Completion:
    """Completion from a fixed list of choices."""
    return _completion(lambda context, incomplete: names)


@_completion
def recipes(context: typer.Context, incomplete: str) -> Iterable[str]:
    """Completion of built-in recipes."""
    from hat.zoo import recipe_names

    return recipe_names()


@_completion
def targets(context: typer.Context, incomplete: str) -> Iterable[str]:
    """Completion of a stage's target: recipes by name, recipe files, run folders."""
    paths = _paths(incomplete, lambda path: _is_recipe_file(path) or _is_run(path))
    return [*recipes(context, incomplete), *_usual_runs(), *paths]


@_completion
def runs(context: typer.Context, incomplete: str) -> Iterable[str]:
    """Completion of run folders: those in runs/, and those below the typed path."""
    return [*_usual_runs(), *_paths(incomplete, _is_run)]


@_completion
def artefacts(context: typer.Context, incomplete: str) -> Iterable[str]:
    """Completion of folders that can translate: runs, artefacts and ONNX exports."""
    return [*_usual_runs(), *_paths(incomplete, _is_model)]


@_completion
def models(context: typer.Context, incomplete: str) -> Iterable[str]:
    """Completion of the models in the run that the command line has named already."""
    from hat.files import read_json

    # The words may be options or arguments: these cannot be told apart while an option still lacks its value.
    words = (Path(str(word)) for word in (*context.params.values(), *context.args) if word)
    folder = next((word for word in words if _is_run(word)), None)
    names: Iterable[str] = () if folder is None else read_json(folder / MODELS)["models"]
    return names


@_completion
def devices(context: typer.Context, incomplete: str) -> Iterable[str]:
    """Completion of devices to measure on, from the device file if the command line names one."""
    from hat.hardware import known_devices

    file = context.params.get("devices")
    return known_devices(Path(str(file)) if file else None)


@_completion
def instruction_sets(context: typer.Context, incomplete: str) -> Iterable[str]:
    """Completion of the native engine's kernels."""
    from importlib import import_module

    try:
        sets = import_module("hat.runtime._native").instruction_sets()
    except ImportError:
        return ()
    return ("auto", *(kernels["name"] for kernels in sets if kernels["built"]))


def zoo_values(key: str) -> Completion:
    """Completion from the zoo: the "name" of its models, or the "task" or "device" of their results."""

    def values(context: typer.Context, incomplete: str) -> Iterable[str]:
        from hat.zoo.models import models as published

        records = (record for model in published() for record in (model, *model.results))
        return (value for record in records if (value := getattr(record, key, None)))

    return _completion(values)


def _usual_runs() -> list[str]:
    return sorted(str(path.parent) for path in Path("runs").glob("*/run.json"))


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
