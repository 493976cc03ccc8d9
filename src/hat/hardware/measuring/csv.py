"""Measurements as CSV, one row per model and without loss: to look at, to keep, to bring to another run.

Lists and mappings are cells of JSON.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from hat.architecture import Architecture
from hat.errors import UserError, shown
from hat.hardware.measuring.store import (
    COLUMNS,
    DOCUMENTS,
    NUMBERS,
    TIMES,
    MeasurementStore,
    Record,
    check_record,
)
from hat.hardware.protocol import MeasureProtocol
from hat.predictor.csv_rows import read_rows, read_table, write_rows
from hat.strict_json import parse_json

# The columns of `MeasurementStore.rows` beside those of a record.
MORE = ("protocol_content", "taken_at", "environment")
JSON_CELLS = (*DOCUMENTS, "protocol_content", "environment")


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
    """Write all measurements of a store; returns their number."""
    names = (*COLUMNS, *MORE)
    rows = ([json.dumps(row[n]) if n in JSON_CELLS else row[n] for n in names] for row in store.rows())
    return write_rows(path, chain([names], rows))


def import_csv(store: MeasurementStore, path: Path) -> Imported:
    """Add the measurements of a file by `export_csv`; none if anything in it is wrong.

    Measurements already in the store stay. Raises UserError naming file, line and column.
    """
    measurements = [_read(cells, where) for where, cells in read_table(path, (*COLUMNS, *MORE))]
    store.discard_damaged()
    return Imported(*store.add(measurements))


def is_measurement_csv(path: Path) -> bool:
    """True if the file's columns are those of `export_csv`, in any order. Raises UserError if it cannot be
    read."""
    rows = read_rows(path)
    return bool(rows) and set(COLUMNS[:2]) <= set(rows[0][1])


def _read(row: Mapping[str, str], where: str) -> tuple[Record, MeasureProtocol, str, dict[str, Any]]:
    values = {name: _cell(name, cell, f"{where}: {name}") for name, cell in row.items()}
    protocol = MeasureProtocol.from_dict(values["protocol_content"], f"{where}: protocol_content")
    if protocol.digest() != values["protocol"]:
        raise UserError(
            f"{where}: protocol: {shown(values['protocol'])} is not the digest of protocol_content"
        )
    Architecture.from_dict(values["architecture"], f"{where}: architecture")
    record = Record(**{name: values[name] for name in COLUMNS})
    try:
        check_record(record, len(protocol.pairs))
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error
    if not isinstance(values["environment"], dict):
        raise UserError(f"{where}: environment: expected a mapping")
    return record, protocol, values["taken_at"], values["environment"]


def _cell(name: str, cell: str, where: str) -> Any:
    if not cell and name in NUMBERS:
        return None
    if not cell:
        raise UserError(f"{where}: is empty")
    if name not in (*JSON_CELLS, *NUMBERS):
        return cell
    try:
        # Times may be NaN here; `check_record` refuses that with a better message.
        return json.loads(cell) if name in TIMES else parse_json(cell, name)
    except (ValueError, RecursionError, UserError) as error:
        raise UserError(f"{where}: {shown(cell)} cannot be read ({error})") from error
