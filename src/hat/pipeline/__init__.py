"""A run: its recipe, its folder, its stages."""

from hat.pipeline.recipe import Recipe
from hat.pipeline.recipe_file import load_recipe
from hat.pipeline.runner import Quiet, Reporter, StepStatus, open_run, run, status

__all__ = [
    "Quiet",
    "Recipe",
    "Reporter",
    "StepStatus",
    "load_recipe",
    "open_run",
    "run",
    "status",
]
