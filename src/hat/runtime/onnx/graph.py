"""The network of an artefact as two ONNX graphs, with the inputs and outputs that `interface` lists."""

from typing import Any

from onnx import ModelProto

from hat.architecture import family_of, load
from hat.errors import UserError
from hat.runtime.artefact import Artefact


def encoder_model(artefact: Artefact) -> ModelProto:
    """The encoder, with the keys and values of every cross-attention. Raises UserError for a family that has
    no ONNX graphs."""
    model: ModelProto = _exporter(artefact).encoder_model(artefact)
    return model


def decoder_model(artefact: Artefact) -> ModelProto:
    """One step of the decoder, for all hypotheses of all sentences. Raises as `encoder_model`."""
    model: ModelProto = _exporter(artefact).decoder_model(artefact)
    return model


def _exporter(artefact: Artefact) -> Any:
    """The module with the graphs of the artefact's family."""
    family = family_of(artefact.config.model.architecture)
    if "onnx" not in family.exporters:
        raise UserError(f"there are no ONNX graphs of {family.title}")
    return load(family.exporters["onnx"])
