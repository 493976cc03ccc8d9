"""The state of a training between two updates, and its learning curves."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import optim
from torch.utils.tensorboard import SummaryWriter

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
    """Learning curves: log.jsonl and TensorBoard. A resumed training removes lines beyond its checkpoint."""

    def __init__(self, folder: Path, position: Position) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / LOG
        if self.path.exists():
            write_lines(
                self.path, [line for line in read_lines(self.path) if _belongs(line, position.update)]
            )
        self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=position.update)
        self.note = ""

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.close()

    def update(
        self,
        position: Position,
        *,
        loss: float,
        norm: float,
        tokens: int,
        seconds: float,
        optimizer: optim.Optimizer,
    ) -> None:
        rate = tokens / seconds
        valid = f", valid {position.history[-1]['loss']:.3f}" if position.history else ""
        self.note = f"loss {loss:.3f}{valid}, {rate:,.0f} tokens/s"
        record = {
            "loss": loss,
            "gradient_norm": norm,
            "learning_rate": optimizer.param_groups[0]["lr"],
        }
        self._write(position.update, "train", {**record, "tokens_per_second": round(rate)})

    def validation(self, position: Position) -> None:
        losses = {key: value for key, value in position.history[-1].items() if key != "update"}
        self._write(position.update, "valid", losses)

    def _write(self, update: int, kind: str, values: dict[str, float]) -> None:
        with self.path.open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(json.dumps({"update": update, "kind": kind, **values}) + "\n")
        for name, value in values.items():
            self.writer.add_scalar(f"{kind}/{name}", value, update)


def _belongs(line: str, update: int) -> bool:
    try:
        return bool(json.loads(line)["update"] <= update)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False  # a line cut short when the process was killed
