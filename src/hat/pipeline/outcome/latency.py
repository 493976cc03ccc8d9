"""Summaries of the measure and fit stages of a run; its measurements exported and imported."""

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
from hat.pipeline.measuring.apart import measured_objectives
from hat.pipeline.measuring.series import read_latencies
from hat.pipeline.steps.context import Context
from hat.pipeline.steps.folder import MEASUREMENTS, locked, open_folder
from hat.pipeline.steps.results import FIT, MEASURE, MEASURED, PREDICTIONS

# A device is too noisy where more than this share of its models is.
TOO_MANY = 0.1


def measure_summary(context: Context) -> str | None:
    """The certainty of the measured latencies, in a line or two; None where they were published. Raises
    NotFinished."""
    if context.published_latencies:
        return None
    measurements = [one.measurement for one in read_latencies(context)]
    width = median((one.high_ms - one.low_ms) / 2 / one.latency_ms for one in measurements)
    noisy = sum(one.too_noisy for one in measurements)
    line = f"{len(measurements)} models measured on {context.device.name}, ± {100 * width:.1f} % (median)"
    if not noisy:
        return line
    disturbed = sum(one.disturbed > DISTURBED for one in measurements)
    why = f"{disturbed} of them because other work took the cores" if disturbed else "the device is unsteady"
    verdict = "too noisy to measure on; " if noisy > TOO_MANY * len(measurements) else ""
    return f"{line}\n{verdict}{noisy} of {len(measurements)} models are not known within ± 5 %: {why}"


def fit_summary(context: Context) -> dict[str, Any]:
    """The quality of the fitted predictor, as JSON data. Raises NotFinished."""
    report = context.predictor().report
    measured = context.outcome(MEASURE).folder / MEASURED
    return {
        "device": context.device.name,
        **asdict(report),
        "doubled_mape": report.doubled_mape,
        "more_would_help": report.more_would_help,
        "noise_floor": read_json(measured)["noise_floor"] if measured.is_file() else None,
        "predictions": str(context.outcome(FIT).folder / PREDICTIONS),
        "other_costs": {
            one.name: asdict(context.predictor(one).report) for one in measured_objectives(context)
        },
    }


def export_measurements(root: Path, path: Path) -> int:
    """Write every measurement of a run to a CSV file; an earlier export is replaced. Returns their number.
    Raises UserError."""
    open_folder(root)
    check_new(path, is_measurement_csv, "an export of measurements")
    if not (root / MEASUREMENTS).is_file():
        raise UserError(f"{root}: nothing has been measured; `{command('hat', 'measure', root)}` does")
    with closing(MeasurementStore(root / MEASUREMENTS)) as store:
        return export_csv(store, path)


def import_measurements(root: Path, path: Path) -> Imported | None:
    """Add the measurements of an export to a run; None if the file is something else."""
    if not is_measurement_csv(path):
        return None
    open_folder(root)
    with locked(root), closing(MeasurementStore(root / MEASUREMENTS)) as store:
        return import_csv(store, path)
