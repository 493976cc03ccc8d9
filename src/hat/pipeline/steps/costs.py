"""The time that a step took, added up over its sessions."""

import os
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

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


class CostMeter:
    """Context manager that adds the time spent inside it to the folder's `cost.json`.

    The record is also kept up to date while the work reports progress, so that a killed session
    is charged for all but its last seconds.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Self:
        self._before = read_cost(self._folder)
        self._wall, self._device = time.perf_counter(), _device_seconds()
        self._saved = self._wall
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._save()

    def watch(self, progress: Progress) -> Progress:
        """`progress`, which also saves the cost every few seconds."""

        def watched(done: float, total: float, note: str) -> None:
            if time.perf_counter() - self._saved > SAVE_EVERY_SECONDS:
                self._save()
            progress(done, total, note)

        return watched

    def _save(self) -> None:
        self._saved = time.perf_counter()
        session = StepCost(
            self._saved - self._wall,
            _device_seconds() - self._device,
            datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
        write_json(self._folder / COST, asdict(self._before + session))


def _device_seconds() -> float:
    from hat.training.accelerator import accelerator  # noqa: PLC0415 (needs PyTorch; reading a cost does not)

    if accelerator().type == "cuda":
        return time.perf_counter()
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
