"""What the measure and fit stages of a run left, read and told; its measurements in and out."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from hat.architecture import Architecture
from hat.errors import UserError
from hat.files import check_new, read_json
from hat.hardware import MeasurementStore
from hat.hardware.measurement import DISTURBED
from hat.hardware.measurement_csv import Imported, export_csv, import_csv, is_measurement_csv
from hat.pipeline.context import NotFinished
from hat.pipeline.folder import is_run, locked, open_folder
from hat.pipeline.recipe import Recipe
from hat.pipeline.runner import finished, open_run
from hat.pipeline.stages.fit import PREDICTIONS
from hat.pipeline.stages.measure import LATENCIES, STORE, read_latencies

# A device is too noisy where more than this share of its models is.
TOO_MANY = 0.1


def measure_summary(recipe: Recipe, root: Path) -> str | None:
    """How well the latencies are known, in a line or two; None where they were published. Raises
    NotFinished."""
    context = finished(recipe, root)
    if context.published_latencies:
        return None
    found = [one.measurement for one in read_latencies(context)]
    width = median((one.high_ms - one.low_ms) / 2 / one.latency_ms for one in found)
    noisy = sum(one.too_noisy for one in found)
    told = f"{len(found)} models measured on {context.device.name}, ± {100 * width:.1f} % (median)"
    if not noisy:
        return told
    disturbed = sum(one.disturbed > DISTURBED for one in found)
    why = f"{disturbed} of them because other work took the cores" if disturbed else "the device is unsteady"
    verdict = "too noisy to measure on; " if noisy > TOO_MANY * len(found) else ""
    return f"{told}\n{verdict}{noisy} of {len(found)} models are not known within ± 5 %: {why}"


def fit_summary(recipe: Recipe, root: Path) -> dict[str, Any]:
    """How good the fitted predictor is, as JSON data. Raises NotFinished."""
    context = finished(recipe, root)
    report = context.predictor().report
    measured = context.outcome("measure").folder / LATENCIES
    return {
        "device": context.device.name,
        **asdict(report),
        "doubled_mape": report.doubled_mape,
        "more_would_help": report.more_would_help,
        "noise_floor": read_json(measured)["noise_floor"] if measured.is_file() else None,
        "predictions": str(context.outcome("fit").folder / PREDICTIONS),
    }


def find_fitted(run: Path | None, overrides: Sequence[str]) -> tuple[Recipe, Path]:
    """The run `run`, or else the newest one in runs/ in which the predictor is fitted for what
    `overrides` say of the device. Raises UserError where there is none."""
    if run is not None:
        return open_run(str(run), None, overrides)
    folders = [path for path in Path("runs").glob("*") if is_run(path)]
    for folder in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True):
        recipe, root = open_run(str(folder), None, overrides)
        try:
            finished(recipe, root).predictor()
        except NotFinished:
            continue
        return recipe, root
    raise UserError("no run in runs/ has a fitted predictor for this device; name one with --run DIR")


def predict_latency(
    recipe: Recipe,
    root: Path,
    architecture: Architecture,
    pairs: Sequence[tuple[int, int]] | None,
    coverage: float,
) -> dict[str, Any]:
    """Predicted milliseconds per sentence with their interval, as JSON data. Raises NotFinished."""
    context = finished(recipe, root)
    predictor = context.predictor()
    (latency,) = predictor.predict([architecture], pairs)
    (low,), (high,) = predictor.predict_interval([architecture], coverage, pairs)
    return {
        "latency_ms": float(latency),
        "interval_ms": [float(low), float(high) if np.isfinite(high) else None],
        "coverage": coverage,
        "pairs": [list(pair) for pair in pairs or predictor.pairs],
        "device": context.device.name,
        "run": str(root),
        "mape": predictor.report.mape,
    }


def export_measurements(root: Path, path: Path) -> int:
    """Write every measurement of a run to a CSV file, which may be an earlier export; how many. Raises
    UserError."""
    open_folder(root)
    check_new(path, is_measurement_csv, "an export of measurements")
    if not (root / STORE).is_file():
        raise UserError(f"{root}: nothing has been measured; `hat measure {root}` does")
    with closing(MeasurementStore(root / STORE)) as store:
        return export_csv(store, path)


def import_measurements(root: Path, path: Path) -> Imported | None:
    """Add what `export_measurements` wrote to a run; None where the file is something else."""
    if not is_measurement_csv(path):
        return None
    open_folder(root)
    with locked(root), closing(MeasurementStore(root / STORE)) as store:
        return import_csv(store, path)
