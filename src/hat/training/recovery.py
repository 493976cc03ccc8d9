"""The position from which a training goes on, even if its newest checkpoint is damaged."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from torch import nn, optim

from hat.errors import UserError
from hat.files import check_keys
from hat.training.checkpoint import DamagedCheckpoint, before, load_checkpoint, read_metadata
from hat.training.journal import Position, journalled_updates

CHECKPOINT = "checkpoint.safetensors"


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a training in its folder, newest first."""
    newest = folder / CHECKPOINT
    return [path for path in (newest, before(newest)) if path.exists()]


def kept_positions(folder: Path) -> list[Position]:
    """The positions from which the training in `folder` may go on one day."""
    found = (read_metadata(path) for path in checkpoints(folder))
    return [_position(metadata, folder) for metadata in found if metadata]


def resume(
    folder: Path, module: nn.Module, optimizers: Sequence[optim.Optimizer], *, say: Callable[[str], None]
) -> Position:
    """Put the newest whole checkpoint of `folder` into module and optimisers. Without checkpoints, nothing
    happens, and the training begins.

    A damaged newest checkpoint is deleted, so that it never takes the place of the one before; `say` is told.
    Raises UserError if the one before is damaged too, or belongs to another model.
    """
    paths = checkpoints(folder)
    if not paths:
        return Position()
    try:
        return _position(load_checkpoint(paths[0], module, optimizers), paths[0])
    except DamagedCheckpoint as error:
        if len(paths) == 1:
            raise
        return _resume_before(paths, module, optimizers, error, say)


def _resume_before(
    paths: list[Path],
    module: nn.Module,
    optimizers: Sequence[optim.Optimizer],
    damage: DamagedCheckpoint,
    say: Callable[[str], None],
) -> Position:
    newest, earlier = paths
    try:
        position = _position(load_checkpoint(earlier, module, optimizers), earlier)
    except DamagedCheckpoint as error:
        raise UserError(
            f"{newest} and the checkpoint before it, {earlier.name}, are both damaged ({damage.problem}; "
            f"{error.problem}); delete both to train from the beginning, and check the disk"
        ) from error
    newest.unlink()
    made = journalled_updates(newest.parent)
    again = f"; updates {position.update + 1:,} to {made:,} are made again" if made > position.update else ""
    say(
        f"{newest}: damaged checkpoint ({damage.problem}), deleted; the training goes on from the one before "
        f"it, of update {position.update:,}{again}"
    )
    return position


def _position(metadata: Any, path: Path) -> Position:
    known = [field.name for field in fields(Position)]
    return Position(**check_keys(metadata, known, str(path), optional=known))
