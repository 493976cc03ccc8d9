"""The published code's checkpoints and configurations, as ours."""

from hat.interop.checkpoint import ReferenceCheckpoint, read_checkpoint
from hat.interop.configuration import architecture_from_reference, architecture_to_reference
from hat.interop.supertransformer import load_reference_checkpoint, reference_names

__all__ = [
    "ReferenceCheckpoint",
    "architecture_from_reference",
    "architecture_to_reference",
    "load_reference_checkpoint",
    "read_checkpoint",
    "reference_names",
]
