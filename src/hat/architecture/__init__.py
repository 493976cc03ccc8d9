"""One SubTransformer as plain data, and what it costs in closed form."""

from hat.architecture.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer
from hat.architecture.cost import Cost, artefact_bytes, cost
from hat.architecture.weights import EMBEDDING_NAMES, Embeddings, ModelConfig, weight_shapes

__all__ = [
    "EMBEDDING_NAMES",
    "Architecture",
    "Cost",
    "Decoder",
    "DecoderLayer",
    "Embeddings",
    "Encoder",
    "EncoderLayer",
    "ModelConfig",
    "artefact_bytes",
    "cost",
    "weight_shapes",
]
