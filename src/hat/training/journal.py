"""The state of a training between two updates, and its learning curves."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from hat.lines import read_lines, write_lines

LOG = "log.jsonl"


@dataclass
class Position:
    """The state of a training beside its tensors."""

    update: int = 0
    epoch: int = 0
    batch: int = 0  # of the epoch
    tokens: int = 0  # target tokens seen
    history: list[dict[str, Any]] = field(default_factory=list)  # one record per validation

    @property
    def best(self) -> dict[str, Any]:
        """The validation record of lowest loss."""
        return min(self.history, key=lambda record: float(record["loss"]))


class Journal:
    """Learning curves: log.jsonl and TensorBoard. A resumed training removes lines beyond its checkpoint.

    Every value is written at once and in this thread, so that a full disk is an error of its update:
    PyTorch's SummaryWriter meets it in a thread, which prints a traceback.
    """

    def __init__(self, folder: Path, position: Position) -> None:
        self.path, self.note = folder / LOG, ""
        self._events = folder / "tensorboard" / f"events.out.tfevents.{time.time_ns()}"
        self._events.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            kept = [line for line in read_lines(self.path) if _belongs(line, position.update)]
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

    def validation(self, position: Position) -> None:
        losses = {key: value for key, value in position.history[-1].items() if key != "update"}
        self._write(position.update, "valid", losses)

    def _write(self, update: int, kind: str, values: dict[str, float]) -> None:
        with self.path.open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(json.dumps({"update": update, "kind": kind, **values}) + "\n")
        scalars = [Summary.Value(tag=f"{kind}/{name}", simple_value=value) for name, value in values.items()]
        self._write_event(step=update, summary=Summary(value=scalars))

    def _write_event(self, **content: Any) -> None:
        with self._events.open("ab") as stream:
            event = Event(wall_time=time.time(), **content)
            RecordWriter(stream).write(event.SerializeToString())


def _belongs(line: str, update: int) -> bool:
    try:
        return bool(json.loads(line)["update"] <= update)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False  # a line cut short when the process was killed
