"""The network of an artefact as two ONNX graphs, with the inputs and outputs that `interface` lists."""

from onnx import ModelProto

from hat.architecture import family_of, load
from hat.errors import UserError
from hat.runtime.artefact import Artefact


def encoder_model(artefact: Artefact) -> ModelProto:
    """The encoder, with the keys and values of every cross-attention. Raises UserError for a family that has
    no ONNX graphs."""
    return _model(artefact, "EncoderGraph")


def decoder_model(artefact: Artefact) -> ModelProto:
    """One step of the decoder, for all hypotheses of all sentences. Raises as `encoder_model`."""
    return _model(artefact, "DecoderGraph")


def _model(artefact: Artefact, graph: str) -> ModelProto:
    family = family_of(artefact.config.model.architecture)
    if "onnx" not in family.exporters:
        raise UserError(f"there are no ONNX graphs of {family.title}")
    model: ModelProto = getattr(load(family.exporters["onnx"]), graph)(artefact).build()
    return model
