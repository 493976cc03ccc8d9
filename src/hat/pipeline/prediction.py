"""Latencies from a run's fitted predictor, a file of numbers that is read without PyTorch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hat.architecture import Architecture
from hat.errors import UserError, command
from hat.files import read_json
from hat.pipeline.last_status import saved_status
from hat.pipeline.steps.costs import read_cost
from hat.pipeline.steps.folder import STEPS, is_run, open_folder
from hat.pipeline.steps.results import FIT, MEASURE, MEASURED, PREDICTOR
from hat.pipeline.steps.step import MANIFEST, read_outcome
from hat.predictor.predictor import CostPredictor


@dataclass(frozen=True)
class Fitted:
    """A fitted predictor: its run, the folder of the step that fitted it, and its device."""

    run: Path
    folder: Path
    device: str

    def load(self) -> CostPredictor:
        """The predictor. Raises UserError if the file is damaged."""
        path = self.folder / PREDICTOR
        return CostPredictor.from_dict(read_json(path), str(path))


def find_fitted(run: Path | None, device: str | None) -> Fitted:
    """The predictor of a run, or of the newest run in runs/ that has one. It is the one for the device that
    the run is set to, or the newest for `device`. Raises UserError if there is none."""
    if run is not None:
        open_folder(run)
        if fitted := _fitted(run, device):
            return fitted
        of = f" for {device}" if device else ""
        raise UserError(f"{run}: no predictor is fitted{of}; run `{command('hat', 'fit', run)}` first")
    folders = [path for path in Path("runs").glob("*") if is_run(path)]
    for folder in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True):
        if fitted := _fitted(folder, device):
            return fitted
    raise UserError("no run in runs/ has a fitted predictor for this device; name one with --run DIR")


def predict_latency(
    fitted: Fitted, architecture: Architecture, pairs: Sequence[tuple[int, int]] | None, coverage: float
) -> dict[str, Any]:
    """Predicted milliseconds per sentence with their interval, as JSON data."""
    predictor = fitted.load()
    (latency,) = predictor.predict([architecture], pairs)
    (low,), (high,) = predictor.predict_interval([architecture], coverage, pairs)
    return {
        "latency_ms": float(latency),
        "interval_ms": [float(low), float(high) if np.isfinite(high) else None],
        "coverage": coverage,
        "pairs": [list(pair) for pair in pairs or predictor.pairs],
        "device": fitted.device,
        "run": str(fitted.run),
        "mape": predictor.report.mape,
    }


def _fitted(root: Path, device: str | None) -> Fitted | None:
    status = saved_status(root)
    if status is not None and device in (None, status.device):
        current = status.folder_of(FIT)
        return None if current is None else Fitted(root, root / current, status.device)
    newest = sorted(_finished(root, FIT), key=lambda folder: read_cost(folder).finished, reverse=True)
    devices = dict(_measured(root))
    for folder in newest:
        on = devices.get(_inputs(folder)["results"]["measured latencies"])
        if on is not None and device in (None, on):
            return Fitted(root, folder, on)
    return None


def _finished(root: Path, step: str) -> Iterator[Path]:
    return (path.parent for path in (root / STEPS / step).glob(f"*/{MANIFEST}"))


def _measured(root: Path) -> Iterator[tuple[str, str]]:
    """The digests by which fitted predictors name measurements, and the devices of these. Published latencies
    do not name their device."""
    for folder in _finished(root, MEASURE):
        outcome = read_outcome(folder)
        if MEASURED in outcome.files:
            yield outcome.digest_of(MEASURED), str(_inputs(folder)["device"]["name"])


def _inputs(folder: Path) -> dict[str, Any]:
    return dict(read_json(folder / MANIFEST)["inputs"])
