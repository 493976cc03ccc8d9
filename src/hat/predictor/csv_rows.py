"""CSV files in and out: rows with line numbers, also from files saved by a spreadsheet."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from hat.errors import UserError, named
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


def read_table(path: Path, columns: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """The rows below a header that has all `columns`, in any order: of each the place, as file:line, and the
    cells by column. Raises UserError naming file, line and column."""
    (_, names), *rows = read_rows(path) or [(1, [])]
    known = f"the columns are {', '.join(columns)}"
    for name in names:
        if name not in columns:
            raise UserError(f"{path}:1: unknown column {named(name)}; {known}")
        if names.count(name) > 1:
            raise UserError(f"{path}:1: the column {name} twice")
    if missing := [name for name in columns if name not in names]:
        raise UserError(f"{path}:1: missing column {', '.join(missing)}; {known}")
    for line, cells in rows:
        if len(cells) != len(names):
            raise UserError(f"{path}:{line}: {len(cells)} cells under {len(names)} columns")
    return [(f"{path}:{line}", dict(zip(names, cells, strict=True))) for line, cells in rows]


def write_rows(path: Path, rows: Iterable[Sequence[object]]) -> int:
    """Write a CSV file, whole or not at all; returns the number of rows below the first."""
    count = -1
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        for row in rows:
            writer.writerow(row)
            count += 1
    return count
