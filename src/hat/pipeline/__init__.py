"""A run: its recipe, its folder, its stages."""

from hat.pipeline.constraints import constraint_lines
from hat.pipeline.latency import (
    export_measurements,
    find_fitted,
    fit_summary,
    import_measurements,
    measure_summary,
    predict_latency,
)
from hat.pipeline.recipe import Recipe
from hat.pipeline.recipe_file import load_recipe
from hat.pipeline.runner import Quiet, Reporter, StepStatus, open_run, run, run_on_devices, status

__all__ = [
    "Quiet",
    "Recipe",
    "Reporter",
    "StepStatus",
    "constraint_lines",
    "export_measurements",
    "find_fitted",
    "fit_summary",
    "import_measurements",
    "load_recipe",
    "measure_summary",
    "open_run",
    "predict_latency",
    "run",
    "run_on_devices",
    "status",
]
