"""The results of a run as tables for people. Reads results only."""

from hat.report.constraints import judgement_cell, judgement_sentences
from hat.report.show import print_report, print_status
from hat.report.tables import Table, slowest_model, to_markdown

__all__ = [
    "Table",
    "judgement_cell",
    "judgement_sentences",
    "print_report",
    "print_status",
    "slowest_model",
    "to_markdown",
]
