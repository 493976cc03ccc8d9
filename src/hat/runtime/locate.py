"""The folder of a model: an artefact, an ONNX export, or one of a run's models."""

from pathlib import Path

from hat.disk import restore_folder
from hat.errors import UserError, shown
from hat.file_names import CONFIG, MODELS, ONNX_FILES
from hat.files import FolderKind, check_keys, read_json
from hat.runtime.artefact import ARTEFACT, TOKENIZER_FILES, is_artefact, marked_format
from hat.runtime.onnx import ONNX_FORMAT

ONNX_EXPORT = FolderKind(
    "an ONNX export", lambda path: marked_format(path) == ONNX_FORMAT, TOKENIZER_FILES | {CONFIG, *ONNX_FILES}
)
MODEL = FolderKind(
    "a model",
    lambda folder: ARTEFACT.marked(folder) or ONNX_EXPORT.marked(folder),
    ARTEFACT.files | ONNX_EXPORT.files,
)


def is_onnx_export(folder: Path) -> bool:
    """True if `folder` looks like an ONNX export (its content is not checked)."""
    return all((folder / name).is_file() for name in (CONFIG, *ONNX_FILES))


def model_folder(path: Path, model: str | None, kind: str = "models") -> Path:
    """The folder of one model: `path` itself, or the run's model called `model` (None: its default).

    `kind`: "models", as the run's device runs them, or "trained", with all their weights in float32.
    Raises UserError if there is no such model, naming those that there are.
    """
    restore_folder(path)
    if is_artefact(path) or is_onnx_export(path):
        if model is not None:
            raise UserError(f"{path}: a single model; a name ({model}) is for run folders")
        return path
    catalogue = path / MODELS
    if not catalogue.is_file():
        raise UserError(f"{path}: neither an artefact nor a run folder with finished models")
    keys = check_keys(read_json(catalogue), ("default", "models", "trained"), str(catalogue))
    models, name = keys[kind], keys["default"] if model is None else model
    if not isinstance(models, dict) or not all(isinstance(v, str) for v in models.values()):
        raise UserError(f"{catalogue}: {kind}: expected names and folders")
    if not isinstance(name, str) or name not in models:
        raise UserError(f"{path}: no model is called {shown(name)}; the models are {', '.join(models)}")
    return path / str(models[name])
