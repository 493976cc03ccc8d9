"""A recipe: the file in which a user says what a run does, section by section.

The names are imported on first use: recipes need the [train] extra.
"""

from typing import TYPE_CHECKING

from hat.lazy_names import importer

if TYPE_CHECKING:
    from hat.recipe.constraint import Constraint
    from hat.recipe.distillation import Distillation
    from hat.recipe.file import design_space, load_recipe, recipe_as_written
    from hat.recipe.first_recipe import Wishes, is_recipe, write_first_recipe
    from hat.recipe.recipe import Evaluate, Measure, Recipe, Search

__all__ = [
    "Constraint",
    "Distillation",
    "Evaluate",
    "Measure",
    "Recipe",
    "Search",
    "Wishes",
    "design_space",
    "is_recipe",
    "load_recipe",
    "recipe_as_written",
    "write_first_recipe",
]

__getattr__ = importer(
    "hat.recipe",
    {
        ".constraint": ("Constraint",),
        ".distillation": ("Distillation",),
        ".file": ("design_space", "load_recipe", "recipe_as_written"),
        ".first_recipe": ("Wishes", "is_recipe", "write_first_recipe"),
        ".recipe": ("Evaluate", "Measure", "Recipe", "Search"),
    },
)
