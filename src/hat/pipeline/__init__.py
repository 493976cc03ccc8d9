"""A run: its recipe, its folder, its stages.

The names are imported on first use, so that `hat status` and `hat predict` need no PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hat.pipeline.constraints import constraint_lines
    from hat.pipeline.last_status import StepStatus
    from hat.pipeline.latency import (
        export_measurements,
        fit_summary,
        import_measurements,
        measure_summary,
    )
    from hat.pipeline.runner import Quiet, Reporter, open_run, run, run_on_devices, status
    from hat.recipe.file import load_recipe, recipe_as_written
    from hat.recipe.recipe import Recipe

__all__ = [
    "Quiet",
    "Recipe",
    "Reporter",
    "StepStatus",
    "constraint_lines",
    "export_measurements",
    "fit_summary",
    "import_measurements",
    "load_recipe",
    "measure_summary",
    "open_run",
    "recipe_as_written",
    "run",
    "run_on_devices",
    "status",
]

_MODULES = {
    "pipeline.constraints": ("constraint_lines",),
    "pipeline.last_status": ("StepStatus",),
    "pipeline.latency": ("export_measurements", "fit_summary", "import_measurements", "measure_summary"),
    "recipe.recipe": ("Recipe",),
    "recipe.file": ("load_recipe", "recipe_as_written"),
    "pipeline.runner": ("Quiet", "Reporter", "open_run", "run", "run_on_devices", "status"),
}
_HOME = {name: f"hat.{module}" for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'hat.pipeline' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
