"""From an artefact to a folder that plain onnxruntime runs: encoder.onnx, decoder.onnx, config.json
and tokenizer/. Inputs and outputs of the graphs: `hat.runtime.onnx_interface` and docs/onnx.md."""

import shutil
from pathlib import Path

from hat.errors import UserError
from hat.files import atomic_folder, write_json
from hat.runtime import Artefact, is_artefact
from hat.runtime.artefact import CONFIG, TOKENIZER
from hat.runtime.locate import ONNX_FILES, is_onnx_export
from hat.runtime.onnx_engine import ONNX_FORMAT
from hat.runtime.onnx_graph import decoder_model, encoder_model

__all__ = ["export_onnx"]


def export_onnx(artefact: Artefact, folder: Path) -> None:
    """Write the model as ONNX, whole or not at all; a model already there is replaced.

    int8 artefacts stay int8; bfloat16 ones are written as float32. Raises UserError where `folder`
    holds something else or the tokenizer's files are missing.
    """
    empty = folder.is_dir() and not any(folder.iterdir())
    if folder.exists() and not (empty or is_onnx_export(folder) or is_artefact(folder)):
        raise UserError(f"{folder}: exists and is not a model; choose another place")
    config = artefact.config
    precision = "int8" if config.precision == "int8" else "float32"
    with atomic_folder(folder) as temporary:
        for name, build in zip(ONNX_FILES, (encoder_model, decoder_model), strict=True):
            (temporary / name).write_bytes(build(artefact).SerializeToString(deterministic=True))
        if config.tokenizer is not None:
            if artefact.tokenizer_folder is None:
                raise UserError("the configuration names a tokenizer, but none is given")
            (temporary / TOKENIZER).mkdir()
            for name in config.tokenizer.file_names():
                shutil.copyfile(artefact.tokenizer_folder / name, temporary / TOKENIZER / name)
        write_json(temporary / CONFIG, config.to_dict() | {"format": ONNX_FORMAT, "precision": precision})
