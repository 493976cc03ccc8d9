"""What the measure and fit stages of a run left, read and told; its measurements in and out."""

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from hat.errors import UserError, command
from hat.files import check_new, read_json
from hat.hardware import MeasurementStore
from hat.hardware.measuring.csv import Imported, export_csv, import_csv, is_measurement_csv
from hat.hardware.measuring.measurement import DISTURBED
from hat.pipeline.folder import locked, open_folder
from hat.pipeline.runner import finished
from hat.pipeline.stages.fit import PREDICTIONS
from hat.pipeline.stages.measure import LATENCIES, STORE, read_latencies
from hat.recipe.recipe import Recipe

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


def export_measurements(root: Path, path: Path) -> int:
    """Write every measurement of a run to a CSV file; an earlier export is replaced. Returns their number.
    Raises UserError."""
    open_folder(root)
    check_new(path, is_measurement_csv, "an export of measurements")
    if not (root / STORE).is_file():
        raise UserError(f"{root}: nothing has been measured; `{command('hat', 'measure', root)}` does")
    with closing(MeasurementStore(root / STORE)) as store:
        return export_csv(store, path)


def import_measurements(root: Path, path: Path) -> Imported | None:
    """Add the measurements of an export to a run; None if the file is something else."""
    if not is_measurement_csv(path):
        return None
    open_folder(root)
    with locked(root), closing(MeasurementStore(root / STORE)) as store:
        return import_csv(store, path)
