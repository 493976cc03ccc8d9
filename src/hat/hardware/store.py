"""Raw timings on disk, one JSON line a model, whole blocks or nothing.

Lines hold what the clock said. Correction for drift happens on reading, since it looks at all
blocks. Nothing here depends on when or how often measuring was interrupted; times of day, load and
versions live in environment.json.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from hat.architecture import ModelConfig
from hat.errors import UserError
from hat.files import atomic_path, check_keys, digest, read_json, write_json
from hat.hardware.protocol import MeasureProtocol

LINES, ENVIRONMENT = "measurements.jsonl", "environment.json"


@dataclass(frozen=True)
class Record:
    """One model's raw timings: per round its own and the reference model's, ms per sentence.

    `block_size`: how many lines were written together, of which this is line `place`.
    """

    model: str
    protocol: str
    reference: str
    architecture: Mapping[str, Any]
    block_size: int
    place: int
    times_ms: list[float]
    reference_ms: list[float]

    @classmethod
    def from_line(cls, line: str, where: str) -> "Record":
        """Read strictly. Raises UserError; ValueError where the line is no JSON."""
        record = cls(**check_keys(json.loads(line), [field.name for field in fields(cls)], where))
        for times in (record.times_ms, record.reference_ms):
            if not isinstance(times, list) or not all(isinstance(t, float) and t > 0 for t in times):
                raise UserError(f"{where}: expected lists of positive numbers of milliseconds")
        return record

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes a measurement the same."""
        return self.model, self.protocol, self.reference


def model_key(config: ModelConfig) -> str:
    """Twelve hexadecimal digits for what decides a model's latency."""
    return digest(asdict(config))[:12]


class MeasurementStore:
    """The measurements of one machine, in one folder."""

    def __init__(self, folder: Path) -> None:
        """Open, dropping a block that a killed writer left unfinished. Raises UserError."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / LINES
        self.records = self._recover()

    def describe(self, environment: Mapping[str, Any], protocol: MeasureProtocol) -> None:
        """Record machine and protocol before anything is measured.

        Raises UserError where the folder's measurements come from another machine.
        """
        path = self._folder / ENVIRONMENT
        known = {"environment": dict(environment), "protocols": {}}
        if path.is_file():
            known = dict(check_keys(read_json(path), list(known), str(path)))
        there, here = known["environment"], environment
        for name in ("cpu", "machine", "cores"):
            if there.get(name) != here[name]:
                raise UserError(
                    f"{path}: measured on another machine ({name} {there.get(name)}, "
                    f"here {here[name]}); use a fresh folder"
                )
        if protocol.digest() not in known["protocols"]:
            known["protocols"][protocol.digest()] = protocol.to_dict()
            write_json(path, known)

    def append(self, block: Iterable[Record]) -> None:
        """Add a block and return when it is on the disk."""
        records = list(block)
        lines = "".join(json.dumps(asdict(record)) + "\n" for record in records)
        with self._path.open("ab") as stream:
            stream.write(lines.encode())
            stream.flush()
            os.fsync(stream.fileno())
        self.records += records

    def _recover(self) -> list[Record]:
        if not self._path.is_file():
            return []
        lines = self._path.read_bytes().decode(errors="replace").splitlines(keepends=True)
        records = []
        for number, line in enumerate(lines, 1):
            where = f"{self._path}:{number}"
            try:
                records.append(Record.from_line(line, where))
            except ValueError as error:
                if number < len(lines):
                    raise UserError(f"{where}: not a line of JSON") from error
        if lines and not lines[-1].endswith("\n"):
            records = records[: len(lines) - 1]
        whole = len(records)
        if records and records[-1].place < records[-1].block_size - 1:
            whole -= records[-1].place + 1
        if whole < len(lines):
            with atomic_path(self._path) as temporary:
                temporary.write_text("".join(lines[:whole]), encoding="utf-8")
        return records[:whole]
