"""What a run found, as tables for people. Reads results only."""

from hat.report.constraints import judgement_cell, judgement_sentence
from hat.report.show import print_report, print_status
from hat.report.tables import Table, to_markdown

__all__ = ["Table", "judgement_cell", "judgement_sentence", "print_report", "print_status", "to_markdown"]
