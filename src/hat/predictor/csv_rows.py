"""CSV files in and out: rows with line numbers, also from files saved by a spreadsheet."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from hat.errors import UserError
from hat.files import atomic_path, read_text
from hat.lines import split_lines


def read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Every row as the number of its last line and its cells, without blank lines at the end and without the
    byte order mark that spreadsheets write. Raises UserError naming file and line."""
    text = read_text(path)
    # Cells of HAT's own files may be longer than the csv module's limit, which is global.
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    reader = csv.reader((f"{line}\n" for line in split_lines(text)), strict=True)
    try:
        rows = [(reader.line_num, cells) for cells in reader]
    except csv.Error as error:
        reason = str(error).partition(" - ")[0]  # the rest is advice to programmers
        raise UserError(f"{path}:{reader.line_num}: {reason}") from error
    while rows and not "".join(rows[-1][1]).strip():
        rows.pop()
    return rows


def write_rows(path: Path, rows: Iterable[Sequence[object]]) -> int:
    """Write a CSV file, whole or not at all; returns the number of rows below the first."""
    count = -1
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        for row in rows:
            writer.writerow(row)
            count += 1
    return count
