"""The state of a training between two updates, and its learning curves."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from hat.file_names import TRAINING_LOG
from hat.lines import read_lines, write_lines


@dataclass
class Position:
    """The state of a training beside its tensors."""

    update: int = 0
    epoch: int = 0
    batch: int = 0  # of the epoch
    tokens: int = 0  # target tokens seen
    history: list[dict[str, Any]] = field(default_factory=list)  # one record per validation
    skipped: int = 0  # updates whose loss or gradient was not finite
    skipped_in_a_row: int = 0  # of these the last ones
    rate_factor: float = 1.0  # of the learning rate, after a skipped update
    rate_until: int = 0  # the update before which that factor holds
    parts: int = 1  # in which a batch is computed, for want of memory

    @property
    def best(self) -> dict[str, Any]:
        """The validation record of lowest loss."""
        return min(self.history, key=loss_of)


def loss_of(record: Mapping[str, Any]) -> float:
    """The loss in the record of a validation."""
    return float(record["loss"])


class Journal:
    """Learning curves: log.jsonl and TensorBoard. A resumed training removes lines beyond its checkpoint.

    Every value is written at once and in this thread, so that a full disk is an error of its update:
    PyTorch's SummaryWriter meets it in a thread, which prints a traceback.
    """

    def __init__(self, folder: Path, position: Position) -> None:
        self.path, self.note = folder / TRAINING_LOG, ""
        self._events = folder / "tensorboard" / f"events.out.tfevents.{time.time_ns()}"
        self._events.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            kept = [line for line in read_lines(self.path) if 0 < _update(line) <= position.update]
            write_lines(self.path, kept)
        self._write_event(file_version="brain.Event:2")
        # TensorBoard drops the values of earlier files from this step on.
        self._write_event(step=position.update, session_log=SessionLog(status=SessionLog.START))

    def update(
        self,
        position: Position,
        *,
        loss: float,
        norm: float,
        tokens: int,
        seconds: float,
        learning_rate: float,
    ) -> None:
        rate = tokens / seconds
        valid = f", valid {position.history[-1]['loss']:.3f}" if position.history else ""
        self.note = f"loss {loss:.3f}{valid}, {rate:,.0f} tokens/s"
        values = {"loss": loss, "gradient_norm": norm, "learning_rate": learning_rate}
        self._write(position.update, "train", {**values, "tokens_per_second": round(rate)})

    def skipped(self, position: Position, *, loss: float, norm: float) -> None:
        """An update that was skipped because its loss or gradient norm is not finite."""
        self.note = f"{position.skipped:,} updates skipped"
        values = {"loss": loss, "gradient_norm": norm, "in_all": position.skipped}
        self._write(position.update, "skipped", values)

    def validation(self, position: Position) -> None:
        losses = {key: value for key, value in position.history[-1].items() if key != "update"}
        self._write(position.update, "valid", losses)

    def _write(self, update: int, kind: str, values: dict[str, float]) -> None:
        with self.path.open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(json.dumps({"update": update, "kind": kind, **_json(values)}) + "\n")
        scalars = [Summary.Value(tag=f"{kind}/{name}", simple_value=value) for name, value in values.items()]
        self._write_event(step=update, summary=Summary(value=scalars))

    def _write_event(self, **content: Any) -> None:
        with self._events.open("ab") as stream:
            event = Event(wall_time=time.time(), **content)
            RecordWriter(stream).write(event.SerializeToString())


def _json(values: Mapping[str, float]) -> dict[str, float | str]:
    """Values with those that JSON cannot express as text: nan, inf, -inf."""
    return {name: value if isfinite(value) else str(value) for name, value in values.items()}


def journalled_updates(folder: Path) -> int:
    """The last update in the journal of `folder`; 0 without one."""
    lines = read_lines(folder / TRAINING_LOG) if (folder / TRAINING_LOG).exists() else []
    return max(map(_update, lines), default=0)


def _update(line: str) -> int:
    """The update that a line belongs to; 0 for a line cut short when the process was killed."""
    try:
        return int(json.loads(line)["update"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0
