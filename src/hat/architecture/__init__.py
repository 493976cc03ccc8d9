"""One network as plain data, a SubTransformer or another family's, and its closed-form cost."""

from hat.architecture.cost import Cost, artefact_bytes, cost, weight_counts
from hat.architecture.evolved import EvolvedArchitecture
from hat.architecture.families import (
    FAMILIES,
    TRANSFORMER,
    architecture_from_dict,
    decoder_states,
    family_of,
    load_architecture,
)
from hat.architecture.family import AnyArchitecture, Family, LayerState, Norm, load
from hat.architecture.layers import AttentionShape, DecoderLayer, EncoderLayer
from hat.architecture.transformer import Architecture, Decoder, Encoder
from hat.architecture.weights import EMBEDDING_NAMES, FACTOR_NAMES, Embeddings, ModelConfig, weight_shapes

__all__ = [
    "EMBEDDING_NAMES",
    "FACTOR_NAMES",
    "FAMILIES",
    "TRANSFORMER",
    "AnyArchitecture",
    "Architecture",
    "AttentionShape",
    "Cost",
    "Decoder",
    "DecoderLayer",
    "Embeddings",
    "Encoder",
    "EncoderLayer",
    "EvolvedArchitecture",
    "Family",
    "LayerState",
    "ModelConfig",
    "Norm",
    "architecture_from_dict",
    "artefact_bytes",
    "cost",
    "decoder_states",
    "family_of",
    "load",
    "load_architecture",
    "weight_counts",
    "weight_shapes",
]
