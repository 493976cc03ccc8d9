"""The published latency sets: measurements of others on devices that one need not own."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hat.errors import UserError, shown
from hat.predictor.csv_rows import read_table
from hat.predictor.features import PAPER_COLUMNS, Array

MEANS = ("latency_mean_encoder", "latency_mean_decoder")
SPREADS = ("latency_std_encoder", "latency_std_decoder")
COLUMNS = (*PAPER_COLUMNS, *MEANS, *SPREADS)
WHOLE = ("encoder_embed_dim", "encoder_layer_num", "decoder_embed_dim", "decoder_layer_num")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
LARGEST = 1e9  # nothing that is measured here comes near


@dataclass(frozen=True, eq=False)
class PublishedLatencies:
    """N measured architectures, of which the means over layers are known: the rows of a CSV."""

    averages: Array  # (N, 10), PAPER_COLUMNS
    encoder_ms: Array  # (N,)
    decoder_ms: Array  # (N,): all steps
    encoder_std_ms: Array  # (N,): over the repetitions
    decoder_std_ms: Array  # (N,)

    @property
    def latency_ms(self) -> Array:
        """The whole latency (N,): encoder and decoder."""
        return self.encoder_ms + self.decoder_ms


def read_latency_csv(path: Path) -> PublishedLatencies:
    """Read a CSV file of COLUMNS, in any order. Raises UserError naming file, line and column."""
    rows = read_table(path, COLUMNS)
    if not rows:
        raise UserError(f"{path}: no measurements below the header")
    values = np.array([[_number(cells[name], name, where) for name in COLUMNS] for where, cells in rows])
    averages, figures = np.split(values, [len(PAPER_COLUMNS)], axis=1)
    return PublishedLatencies(averages, *figures.T)


def _number(cell: str, name: str, where: str) -> float:
    if not NUMBER.fullmatch(cell):
        raise UserError(f"{where}: {name}: {shown(cell)} is not a number")
    value = float(cell)
    if name in SPREADS and value == 0:
        return value
    if not 0 < value < LARGEST:
        allowed = "0 or more" if name in SPREADS else "more than 0"
        raise UserError(f"{where}: {name}: {shown(cell)}; expected {allowed} and less than {LARGEST:.0e}")
    if name in WHOLE and value != int(value):
        raise UserError(f"{where}: {name}: {shown(cell)} is not a whole number")
    return value
