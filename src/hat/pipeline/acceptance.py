"""Settings are accepted by the stage that uses them: a refused value leaves a run as it was.

`recipe.yaml` holds the settings that are being tried, so that a killed run continues with them. As long as
some of them are not accepted, `recipe.accepted.yaml` holds the settings to return to.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hat.disk import is_full
from hat.errors import UserError
from hat.pipeline.models.teaching import teacher_files
from hat.pipeline.stages import STAGES
from hat.pipeline.steps.context import Context
from hat.pipeline.steps.folder import RECIPE_FILE
from hat.pipeline.text.corpus import text_files
from hat.predictor.published_sets import read_latency_csv
from hat.recipe.file import check_savable, load_recipe, save_recipe
from hat.recipe.recipe import Recipe
from hat.training import Stopped
from hat.training.distributed import ConnectionLost

ACCEPTED_FILE = "recipe.accepted.yaml"


def check_settings(context: Context) -> None:
    """Ask all stages what can be said of their settings before any of them works: files exist, the device
    is known, published latencies can be read. Raises UserError."""
    check_savable(context.recipe)
    for path in (*text_files(context), *teacher_files(context)):
        if not path.is_file():
            context.text_digest(path)  # raises UserError for an absent file, unless it was read before
    published = context.published_latencies
    if published is None:
        context.engine_for(context.space.largest())
    elif published.is_file():
        read_latency_csv(published)
    else:
        context.text_digest(published)


@contextmanager
def trying(
    root: Path, recipe: Recipe, say: Callable[[str], None], written: Recipe | None = None
) -> Iterator[Callable[[str], None]]:
    """Save the recipe in a run folder for the time of some work; yields a function that accepts a stage's
    settings.

    If the work fails, settings that were not accepted are set back to what they were (in a new run, to the
    recipe as `written`), and `say` gets a message; not if the work was only stopped, the disk was full, or
    another process of a training has ended.
    """
    path, kept = root / RECIPE_FILE, root / ACCEPTED_FILE
    before = _saved(kept) or _saved(path) or written
    accepted = before or recipe
    if accepted != recipe:
        save_recipe(kept, accepted)
    save_recipe(path, recipe)

    def accept(stage: str) -> None:
        nonlocal accepted
        accepted = accepted.model_copy(
            update={name: getattr(recipe, name) for name in STAGES[stage].sections}
        )
        if accepted != recipe:
            save_recipe(kept, accepted)
        else:
            kept.unlink(missing_ok=True)

    if accepted == recipe:
        kept.unlink(missing_ok=True)
    try:
        yield accept
    except BaseException as error:
        if _blames_settings(error) and before and accepted != recipe:
            accepted = accepted if _is_consistent(accepted) else before
            save_recipe(path, accepted)
            kept.unlink()
            changes = _changes(recipe.model_dump(mode="json"), accepted.model_dump(mode="json"))
            say(f"the run keeps the settings it had: {'; '.join(changes)}")
        raise


def _blames_settings(error: BaseException) -> bool:
    """True for an error that the settings may have caused."""
    return (
        isinstance(error, Exception)
        and not is_full(error)
        and not isinstance(error, Stopped | ConnectionLost)
    )


def _saved(path: Path) -> Recipe | None:
    """The recipe in a file of the run folder; None if there is none that this version of HAT can read."""
    try:
        return load_recipe(str(path)) if path.is_file() else None
    except UserError:
        return None


def _is_consistent(recipe: Recipe) -> bool:
    """True if sections of two recipes together make a valid recipe."""
    try:
        Recipe.model_validate(recipe.model_dump(mode="json"))
    except ValidationError:
        return False
    return True


def _changes(tried: Any, kept: Any, name: str = "") -> Iterator[str]:
    """The values of the recipe `tried` that differ from `kept`, as text."""
    if isinstance(tried, dict) and isinstance(kept, dict):
        for key in dict.fromkeys((*tried, *kept)):
            yield from _changes(tried.get(key), kept.get(key), f"{name}.{key}" if name else key)
    elif tried != kept:
        yield f"{name} {_short(kept)} (not {_short(tried)})"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
