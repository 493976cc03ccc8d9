"""Reports on a terminal."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import rich.box
import rich.table
from rich.console import Console
from rich.text import Text

from hat.errors import command, visible
from hat.file_names import REPORT
from hat.files import read_json
from hat.report.tables import Table, cost_cells, costs_table, models_table, next_lines, sample_lines

# A pipe has no width; a table wrapped at 80 columns is hard to read and to cut.
PIPE_WIDTH = 200


def print_report(root: Path) -> None:
    """Print the report of a finished run to standard output."""
    report = read_json(root / REPORT)
    console = _console()
    for table in (models_table(report), costs_table(report)):
        _print_table(console, table)
    _print_lines(console, "Sample translations", sample_lines(report))
    _print_lines(console, "Next", next_lines(report))


def print_status(root: Path, steps: Sequence[Mapping[str, Any]], constraints: Sequence[str] = ()) -> None:
    """Print to standard output which steps are done, their costs, the verdicts on constraints, the updates
    that trainings skipped, and the next command. `steps`: as `hat status --json` prints them."""
    rows = tuple(
        (step["step"], step["state"], *cost_cells(step["cost"]), "; ".join(step["changes"])) for step in steps
    )
    columns = ("step", "state", "wall time", "device hours", "why it runs again")
    console = _console()
    skipped = (
        f"{step['step']}: {step['skipped_updates']:,} updates skipped; their loss or gradient was not finite"
        for step in steps
        if step["skipped_updates"]
    )
    _print_table(console, Table(str(root), columns, rows, (*constraints, *skipped)))
    if waiting := next((step for step in steps if step["state"] != "done"), None):
        alone, everything = command("hat", waiting["stage"], root), command("hat", "run", root)
        advice = f"next: {waiting['step']}; `{alone}` alone, or `{everything}`"
    else:
        translate = command("hat", "translate", root)
        advice = f"all done; `{translate}` translates, {root / 'report.md'} has the results"
    console.print(_text(advice), soft_wrap=True)


def _print_table(console: Console, table: Table) -> None:
    drawn = rich.table.Table(title=_text(table.title), title_justify="left", box=rich.box.SIMPLE_HEAD)
    for index, column in enumerate(table.columns):
        drawn.add_column(_text(column), justify="right" if index else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*map(_text, row))
    console.print(drawn)
    for note in table.notes:
        console.print(_text(f"  {note}"), soft_wrap=True)


def _print_lines(console: Console, title: str, lines: Sequence[str]) -> None:
    console.print(f"\n{title}", style="italic")
    for line in lines:
        console.print(_text(f"  {line}"), soft_wrap=True)


def _text(text: str) -> Text:
    """Text shown literally: without markup, and without characters that a terminal would obey."""
    return Text(visible(text))


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPE_WIDTH)
