"""The losses that are known, durable: one line of JSON per evaluated architecture."""

import json
import os
from collections.abc import Callable
from math import isfinite
from pathlib import Path

from hat.architecture import Architecture
from hat.disk import Room, make_folder
from hat.errors import HatError, UserError
from hat.files import check_keys
from hat.strict_json import parse_json


class Memo:
    """Losses by architecture, appended to a file as they come. Use as a context manager.

    Every loss reaches the operating system before the next evaluation starts, so a killed process loses only
    the evaluation that was running; all losses are on the disk when the memo is left. An incomplete last line
    is removed and evaluated again. Raises UserError naming path and line for any other content, DiskFull.
    """

    def __init__(self, path: Path) -> None:
        make_folder(path.parent)
        self._path = path
        self._losses = _read(path)
        self._stream = path.open("ab")

    def __enter__(self) -> "Memo":
        return self

    def __exit__(self, *raised: object) -> None:
        with Room(self._path), self._stream:
            os.fsync(self._stream.fileno())

    def loss(self, architecture: Architecture, evaluate: Callable[[Architecture], float]) -> float:
        """The known loss, or else that of `evaluate`. Raises HatError if it is not finite."""
        if architecture not in self._losses:
            loss = float(evaluate(architecture))
            if not isfinite(loss):
                name = architecture.short_hash()
                raise HatError(
                    f"the loss of architecture {name} is {loss}; the SuperTransformer may have diverged"
                )
            line = json.dumps({"architecture": architecture.to_dict(), "loss": loss})
            with Room(self._path):
                self._stream.write(line.encode() + b"\n")
                self._stream.flush()
            self._losses[architecture] = loss
        return self._losses[architecture]


def _read(path: Path) -> dict[Architecture, float]:
    content = path.read_bytes() if path.exists() else b""
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as stream:
            stream.truncate(whole)
    lines = content[:whole].splitlines()
    return dict(_parse(line, f"{path}:{number}") for number, line in enumerate(lines, start=1))


def _parse(line: bytes, where: str) -> tuple[Architecture, float]:
    try:
        row = check_keys(parse_json(line, where), ("architecture", "loss"), where)
        return Architecture.from_dict(row["architecture"], where), float(row["loss"])
    except (UserError, TypeError) as error:
        raise UserError(f"{where}: not a line of evaluated losses; delete the file") from error
