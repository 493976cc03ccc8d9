"""A run: its folder, its stages and their steps. `hat.Run` is its face in Python.

The names are imported on first use, so that `hat status` and `hat predict` need no PyTorch.
"""

from typing import TYPE_CHECKING

from hat.lazy_names import importer

if TYPE_CHECKING:
    from hat.pipeline.current_status import status
    from hat.pipeline.fine_tuning import fine_tune
    from hat.pipeline.last_status import RunStatus, StepStatus
    from hat.pipeline.outcome.latency import export_measurements, import_measurements
    from hat.pipeline.prediction import find_fitted, predict_latency
    from hat.pipeline.reporter import Quiet, Reporter
    from hat.pipeline.runner import open_run, run, run_on_devices
    from hat.pipeline.stages import STAGES
    from hat.pipeline.steps.folder import check_no_result, is_run
    from hat.recipe import Recipe, load_recipe, recipe_as_written

__all__ = [
    "STAGES",
    "Quiet",
    "Recipe",
    "Reporter",
    "RunStatus",
    "StepStatus",
    "check_no_result",
    "export_measurements",
    "find_fitted",
    "fine_tune",
    "import_measurements",
    "is_run",
    "load_recipe",
    "open_run",
    "predict_latency",
    "recipe_as_written",
    "run",
    "run_on_devices",
    "status",
]

__getattr__ = importer(
    "hat.pipeline",
    {
        ".current_status": ("status",),
        ".fine_tuning": ("fine_tune",),
        ".last_status": ("RunStatus", "StepStatus"),
        ".outcome.latency": ("export_measurements", "import_measurements"),
        ".prediction": ("find_fitted", "predict_latency"),
        ".reporter": ("Quiet", "Reporter"),
        ".runner": ("open_run", "run", "run_on_devices"),
        ".stages": ("STAGES",),
        ".steps.folder": ("check_no_result", "is_run"),
        "hat.recipe": ("Recipe", "load_recipe", "recipe_as_written"),
    },
)
