"""Imports of the published code's checkpoints, configurations and latency predictors."""

from hat.interop.checkpoint import ReferenceCheckpoint, read_checkpoint
from hat.interop.configuration import architecture_from_reference, architecture_to_reference
from hat.interop.import_model import import_checkpoint, read_architecture
from hat.interop.predictor import ReferencePredictor, load_reference_predictor
from hat.interop.published_yaml import PublishedFile, read_published_yaml
from hat.interop.supertransformer import load_reference_checkpoint, reference_names

__all__ = [
    "PublishedFile",
    "ReferenceCheckpoint",
    "ReferencePredictor",
    "architecture_from_reference",
    "architecture_to_reference",
    "import_checkpoint",
    "load_reference_checkpoint",
    "load_reference_predictor",
    "read_architecture",
    "read_checkpoint",
    "read_published_yaml",
    "reference_names",
]
