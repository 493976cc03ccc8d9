"""From a float32 artefact to the form and precision that a device runs."""

from dataclasses import dataclass
from math import prod
from pathlib import Path

from hat.architecture import weight_shapes
from hat.errors import UserError
from hat.files import atomic_folder
from hat.runtime import Artefact, is_artefact
from hat.runtime.locate import is_onnx_export

FORMATS = ("artefact", "onnx")
WEIGHT_FILES = (".safetensors", ".onnx")


@dataclass(frozen=True)
class Deployed:
    """What was written. `files`: path within the folder → bytes. `float32_bytes`: what they would be
    with float32 weights."""

    files: dict[str, int]
    float32_bytes: int

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())


def deploy(artefact: Artefact, folder: Path, form: str = "artefact") -> Deployed:
    """Write `artefact` at its precision into `folder`, whole or not at all.

    A model that is there already is replaced. Raises UserError where there is no such form or
    `folder` holds something else, ModuleNotFoundError where `onnx` is needed and not installed.
    """
    if form not in FORMATS:
        raise UserError(f"format: {form!r}; the choices are {', '.join(FORMATS)}")
    with atomic_folder(folder, _is_model, "a model") as temporary:
        if form == "onnx":
            from hat.export.onnx import write_onnx  # noqa: PLC0415 (needs the [onnx] extra)

            write_onnx(artefact, temporary)
        else:
            artefact.write(temporary)
    files = _sizes(folder)
    weights = 4 * sum(prod(shape) for shape in weight_shapes(artefact.config.model).values())
    others = sum(size for name, size in files.items() if not name.endswith(WEIGHT_FILES))
    return Deployed(files, weights + others)


def _is_model(folder: Path) -> bool:
    return is_artefact(folder) or is_onnx_export(folder)


def _sizes(folder: Path) -> dict[str, int]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
