"""CSV files in and out: their rows with line numbers, whoever saved them last."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from hat.errors import UserError
from hat.files import atomic_path, read_text
from hat.lines import split_lines


def read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Every row's last line and its cells, without blank lines at the end; a byte order mark, which
    spreadsheets write, is no part of the first cell. Raises UserError naming file and line."""
    text = read_text(path)
    # The cells of our own files may be longer than the library's limit, which is one for all readers.
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    reader = csv.reader((f"{line}\n" for line in split_lines(text)), strict=True)
    try:
        rows = [(reader.line_num, cells) for cells in reader]
    except csv.Error as error:
        reason = str(error).partition(" - ")[0]  # after which it advises programmers
        raise UserError(f"{path}:{reader.line_num}: {reason}") from error
    while rows and not "".join(rows[-1][1]).strip():
        rows.pop()
    return rows


def write_rows(path: Path, rows: Iterable[Sequence[object]]) -> int:
    """Write a CSV file, whole or not at all; how many rows it has below the first."""
    count = -1
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        for row in rows:
            writer.writerow(row)
            count += 1
    return count
