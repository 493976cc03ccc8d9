"""Measurements as CSV, to look at, to keep, and to bring to another run: a row a model, lossless.

Lists and mappings are cells of JSON.
"""

import csv
import json
from pathlib import Path
from typing import Any

from hat.architecture import Architecture
from hat.errors import UserError, shown
from hat.files import atomic_path, check_keys
from hat.hardware.protocol import MeasureProtocol
from hat.hardware.store import COLUMNS, DOCUMENTS, MeasurementStore, Record, check_times

# Of a row that `MeasurementStore.rows` gives, besides the record's own.
MORE = ("protocol_content", "taken_at", "environment")
JSON_CELLS = (*DOCUMENTS, "protocol_content", "environment")
NUMBERS = {"memory_bytes": int, "energy_j": float, "disturbed": int}


def export_csv(store: MeasurementStore, path: Path) -> int:
    """Write all measurements of a store; how many."""
    count = 0
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, (*COLUMNS, *MORE))
        writer.writeheader()
        for row in store.rows():
            writer.writerow({k: json.dumps(v) if k in JSON_CELLS else v for k, v in row.items()})
            count += 1
    return count


def import_csv(store: MeasurementStore, path: Path) -> int:
    """Add what `export_csv` wrote, all of it or, where anything is wrong, nothing; how many rows.

    Measurements that the store has already stay. Raises UserError naming file, line and column.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = csv.DictReader(stream, strict=True)
            check_keys(dict.fromkeys(rows.fieldnames or ()), (*COLUMNS, *MORE), str(path))
            found = [_read(row, f"{path}:{rows.line_num}") for row in rows]
    except csv.Error as error:
        raise UserError(f"{path}:{rows.line_num}: not CSV ({error})") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    store.add(found)
    return len(found)


def is_measurement_csv(path: Path) -> bool:
    """Whether the file begins as `export_csv`'s do. Raises UserError where it cannot be read."""
    try:
        with path.open(encoding="utf-8") as stream:
            return stream.readline().startswith(f"{COLUMNS[0]},{COLUMNS[1]},")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error


def _read(row: dict[str, Any], where: str) -> tuple[Record, MeasureProtocol, str, dict[str, Any]]:
    if None in row or None in row.values():
        raise UserError(f"{where}: expected {len(COLUMNS) + len(MORE)} cells")
    values: dict[str, Any] = {}
    for name, cell in row.items():
        values[name] = _cell(name, cell, f"{where}: {name}")
    protocol = MeasureProtocol.from_dict(values["protocol_content"], f"{where}: protocol_content")
    if protocol.digest() != values["protocol"]:
        raise UserError(
            f"{where}: protocol: {shown(values['protocol'])} is not the digest of protocol_content"
        )
    Architecture.from_dict(values["architecture"], f"{where}: architecture")
    record = Record(**{name: values[name] for name in COLUMNS})
    for name in DOCUMENTS[1:]:
        try:
            check_times(getattr(record, name))
        except ValueError as error:
            raise UserError(f"{where}: {name}: {error}") from error
    if not isinstance(values["environment"], dict):
        raise UserError(f"{where}: environment: expected a mapping")
    return record, protocol, values["taken_at"], values["environment"]


def _cell(name: str, cell: str, where: str) -> Any:
    try:
        if name in JSON_CELLS:
            return json.loads(cell)
        if name in NUMBERS:
            return NUMBERS[name](cell) if cell else None
    except ValueError as error:
        raise UserError(f"{where}: {shown(cell)} cannot be read ({error})") from error
    if not cell:
        raise UserError(f"{where}: is empty")
    return cell
