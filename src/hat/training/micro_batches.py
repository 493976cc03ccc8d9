"""Batches in parts, for a memory that does not hold a whole one: the same gradients with less at a time."""

import re
from collections.abc import Sequence

import torch

from hat.data import Batch, split
from hat.errors import HatError
from hat.training.journal import Position
from hat.training.settings import TrainingSettings

# The texts of errors that PyTorch and its libraries raise where the system or a GPU has no more memory.
NO_MEMORY = re.compile("can.t allocate memory|not enough memory|bad_alloc|out of memory", re.IGNORECASE)


def is_out_of_memory(error: BaseException) -> bool:
    """True if computing failed because memory could not be had."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or bool(NO_MEMORY.search(str(error)))


def in_parts(batches: Sequence[Batch], parts: int) -> list[Batch]:
    """All batches, each in `parts` parts of nearly equally many sentences, or in single sentences."""
    return [part for batch in batches for part in split(batch, parts)]


def halve(position: Position, batches: Sequence[Batch], settings: TrainingSettings) -> str:
    """Let the training compute its batches in parts half as large; returns that in words. Raises HatError if
    the parts of `batches`, which did not fit into memory, are single sentences already."""
    if position.parts >= max(len(batch.rows) for batch in batches):
        longest = max(batch.source.shape[1] + batch.target_in.shape[1] for batch in batches)
        raise HatError(
            f"out of memory with a single pair of sentences of {longest:,} tokens; activation_checkpointing: "
            "true, a smaller network or a shorter longest sentence needs less"
        )
    position.parts *= 2
    return in_words(position.parts, settings)


def in_words(parts: int, settings: TrainingSettings) -> str:
    """The way in which batches are computed, in words."""
    return (
        f"batches of {settings.batch_tokens:,} tokens are computed in {parts} parts, whose gradients are "
        "added up: the effective batch stays the same"
    )
