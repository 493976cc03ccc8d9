"""Measurements as CSV, one row per model and without loss: to look at, to keep, to bring to another run.

Lists and mappings are cells of JSON.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import Any

from hat.architecture import Architecture
from hat.errors import UserError, shown
from hat.files import check_keys
from hat.hardware.measuring.store import (
    COLUMNS,
    DOCUMENTS,
    TIMES,
    MeasurementStore,
    Record,
    check_numbers,
    check_rounds,
)
from hat.hardware.protocol import MeasureProtocol
from hat.predictor.csv_rows import read_rows, write_rows
from hat.strict_json import parse_json

# The columns of `MeasurementStore.rows` beside those of a record.
MORE = ("protocol_content", "taken_at", "environment")
JSON_CELLS = (*DOCUMENTS, "protocol_content", "environment")
NUMBERS: dict[str, type[int] | type[float]] = {"memory_bytes": int, "energy_j": float, "disturbed": int}


@dataclass(frozen=True)
class Imported:
    """The result of an import: the numbers of measurements `added`, of those already `known`, whose stored
    version was kept, and of known ones that `differ` from the file's."""

    added: int
    known: int
    differ: int

    def __str__(self) -> str:
        """One line for the user."""
        text = f"{self.added} of {self.added + self.known} measurements added, {self.known} known already"
        return f"{text}; {self.differ} of these differ from the file and were kept" if self.differ else text


def export_csv(store: MeasurementStore, path: Path) -> int:
    """Write all measurements of a store; how many."""
    names = (*COLUMNS, *MORE)
    rows = ([json.dumps(row[n]) if n in JSON_CELLS else row[n] for n in names] for row in store.rows())
    return write_rows(path, chain([names], rows))


def import_csv(store: MeasurementStore, path: Path) -> Imported:
    """Add the measurements of a file by `export_csv`; none if anything in it is wrong.

    Measurements already in the store stay. Raises UserError naming file, line and column.
    """
    rows = read_rows(path)
    names = rows[0][1] if rows else []
    check_keys(dict.fromkeys(names), (*COLUMNS, *MORE), str(path))
    measurements = []
    for line, cells in rows[1:]:
        if len(cells) != len(names):
            raise UserError(f"{path}:{line}: {len(cells)} cells under {len(names)} columns")
        measurements.append(_read(dict(zip(names, cells, strict=True)), f"{path}:{line}"))
    store.discard_damaged()
    return Imported(*store.add(measurements))


def is_measurement_csv(path: Path) -> bool:
    """True if the file's columns are those of `export_csv`, in any order. Raises UserError if it cannot be
    read."""
    rows = read_rows(path)
    return bool(rows) and set(COLUMNS[:2]) <= set(rows[0][1])


def _read(row: Mapping[str, str], where: str) -> tuple[Record, MeasureProtocol, str, dict[str, Any]]:
    values: dict[str, Any] = {name: _cell(name, cell, f"{where}: {name}") for name, cell in row.items()}
    protocol = MeasureProtocol.from_dict(values["protocol_content"], f"{where}: protocol_content")
    if protocol.digest() != values["protocol"]:
        raise UserError(
            f"{where}: protocol: {shown(values['protocol'])} is not the digest of protocol_content"
        )
    Architecture.from_dict(values["architecture"], f"{where}: architecture")
    record = Record(**{name: values[name] for name in COLUMNS})
    try:
        check_numbers(record)
        check_rounds(record, len(protocol.pairs))
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error
    if not isinstance(values["environment"], dict):
        raise UserError(f"{where}: environment: expected a mapping")
    return record, protocol, values["taken_at"], values["environment"]


def _number(name: str, cell: str) -> float:
    value = NUMBERS[name](cell)
    if not isfinite(value):
        raise ValueError("not a finite number")
    return value


def _cell(name: str, cell: str, where: str) -> Any:
    try:
        if name in TIMES:
            return json.loads(cell)  # NaN too, which `check_numbers` refuses with a better message
        if name in JSON_CELLS:
            return parse_json(cell, name)
        if name in NUMBERS:
            return _number(name, cell) if cell else None
    except (ValueError, RecursionError, UserError) as error:
        raise UserError(f"{where}: {shown(cell)} cannot be read ({error})") from error
    if not cell:
        raise UserError(f"{where}: is empty")
    return cell
