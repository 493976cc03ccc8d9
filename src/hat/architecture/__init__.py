"""One SubTransformer (or a baseline of another family) as plain data, and what it costs in closed form."""

from hat.architecture.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer
from hat.architecture.cost import Cost, artefact_bytes, cost
from hat.architecture.evolved import EvolvedArchitecture
from hat.architecture.families import (
    FAMILY_NAMES,
    AnyArchitecture,
    architecture_from_dict,
    load_architecture,
)
from hat.architecture.weights import EMBEDDING_NAMES, Embeddings, ModelConfig, Norm, weight_shapes

__all__ = [
    "EMBEDDING_NAMES",
    "FAMILY_NAMES",
    "AnyArchitecture",
    "Architecture",
    "Cost",
    "Decoder",
    "DecoderLayer",
    "Embeddings",
    "Encoder",
    "EncoderLayer",
    "EvolvedArchitecture",
    "ModelConfig",
    "Norm",
    "architecture_from_dict",
    "artefact_bytes",
    "cost",
    "load_architecture",
    "weight_shapes",
]
