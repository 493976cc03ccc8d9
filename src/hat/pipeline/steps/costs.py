"""The time that a step took, added up over its sessions."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from hat.files import check_keys, read_json, write_json
from hat.progress import Progress

COST = "cost.json"
SAVE_EVERY_SECONDS = 10.0


@dataclass(frozen=True)
class StepCost:
    """`device_seconds`: processor time of this process and its children, summed over the cores; on a
    machine with a GPU wall time, for which it is held.

    `finished`: when the step was last worked on (ISO 8601, UTC), empty if never.
    """

    wall_seconds: float = 0.0
    device_seconds: float = 0.0
    finished: str = ""

    def __add__(self, other: "StepCost") -> "StepCost":
        return StepCost(
            self.wall_seconds + other.wall_seconds,
            self.device_seconds + other.device_seconds,
            max(self.finished, other.finished),
        )


def read_cost(folder: Path) -> StepCost:
    """The cost of the step in `folder` so far; zero if it has left no record."""
    path = folder / COST
    if not path.exists():
        return StepCost()
    return StepCost(**check_keys(read_json(path), tuple(StepCost.__dataclass_fields__), str(path)))


@contextmanager
def metered(folder: Path, progress: Progress) -> Iterator[Progress]:
    """Add the time spent inside to the folder's `cost.json`.

    Yields `progress`, which also saves the cost every few seconds, so that a killed session is charged for
    all but its last ones.
    """
    before, wall, device = read_cost(folder), time.perf_counter(), _device_seconds()
    saved = wall

    def save() -> None:
        nonlocal saved
        saved = time.perf_counter()
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        write_json(folder / COST, asdict(before + StepCost(saved - wall, _device_seconds() - device, now)))

    def watched(done: float, total: float, note: str) -> None:
        if time.perf_counter() - saved > SAVE_EVERY_SECONDS:
            save()
        progress(done, total, note)

    try:
        yield watched
    finally:
        save()


def _device_seconds() -> float:
    from hat.training.accelerator import accelerator  # noqa: PLC0415 (needs PyTorch; reading a cost does not)

    if accelerator().type == "cuda":
        return time.perf_counter()
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
