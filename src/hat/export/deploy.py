"""From a float32 artefact to the form and precision that a device runs."""

from pathlib import Path

from hat.compression import Sizes, sizes_of
from hat.errors import UserError, shown
from hat.files import atomic_folder
from hat.runtime import MODEL, Artefact
from hat.runtime.onnx import onnx_precision

FORMATS = ("artefact", "onnx")


def deploy(artefact: Artefact, folder: Path, form: str = "artefact") -> Sizes:
    """Write `artefact` at its precision into `folder`, whole or not at all.

    An earlier model is replaced. Raises UserError for an unknown form, or if `folder` holds anything else,
    ModuleNotFoundError if `onnx` is needed and not installed.
    """
    if form not in FORMATS:
        raise UserError(f"format: {shown(form)}; the choices are {', '.join(FORMATS)}")
    with atomic_folder(folder, MODEL) as temporary:
        if form == "onnx":
            from hat.export.onnx import write_onnx  # noqa: PLC0415 (needs the [onnx] extra)

            write_onnx(artefact, temporary)
        else:
            artefact.write(temporary)
    precision = artefact.config.precision
    return sizes_of(folder, artefact.config.model, onnx_precision(precision) if form == "onnx" else precision)
