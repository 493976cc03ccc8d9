"""The journal of a training as `hat status` reads it: line by line, without PyTorch."""

from pathlib import Path

from hat.file_names import TRAINING_LOG


def skipped_updates(folder: Path) -> int:
    """The updates that the training in `folder` has skipped because loss or gradient was not finite; 0
    without a training."""
    path = folder / TRAINING_LOG
    if not path.exists():
        return 0
    with path.open("rb") as lines:
        return sum(b'"kind": "skipped"' in line for line in lines)
