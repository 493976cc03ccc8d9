"""From an artefact to a folder that plain onnxruntime runs: encoder.onnx, decoder.onnx, config.json
and tokenizer/. Inputs and outputs of the graphs: `hat.runtime.onnx.interface` and docs/onnx.md."""

from dataclasses import replace
from pathlib import Path

from hat.file_names import CONFIG, ONNX_FILES
from hat.files import write_json
from hat.runtime import Artefact
from hat.runtime.onnx import ONNX_FORMAT, onnx_precision
from hat.runtime.onnx.graph import decoder_model, encoder_model


def write_onnx(artefact: Artefact, folder: Path) -> None:
    """Write the files into an empty folder, one after the other. int8 artefacts stay int8, k-means
    becomes int8, and bfloat16 becomes float32. Raises UserError without a tokenizer."""
    precision = onnx_precision(artefact.config.precision)
    for name, build in zip(ONNX_FILES, (encoder_model, decoder_model), strict=True):
        (folder / name).write_bytes(build(artefact).SerializeToString(deterministic=True))
    artefact.write_tokenizer(folder)
    config = replace(artefact.config, precision=precision).to_dict() | {"format": ONNX_FORMAT}
    write_json(folder / CONFIG, config)
