"""Named design spaces, recipes and models with their results, the 44 published models among them, as data
files."""

from pathlib import Path

from hat.errors import UserError, shown
from hat.files import read_text, read_yaml
from hat.space import DesignSpace
from hat.zoo.models import published_models

__all__ = ["published_models", "recipe_names", "recipe_text", "space", "space_names"]

_HERE = Path(__file__).parent


def space(name: str) -> DesignSpace:
    """A shipped design space. Raises UserError listing the names if unknown."""
    return DesignSpace.from_dict(read_yaml(_find("spaces", "design space", name)), name)


def space_names() -> list[str]:
    """The names of the shipped design spaces."""
    return _names("spaces")


def recipe_text(name: str) -> str:
    """The commented YAML of a built-in recipe. Raises UserError listing the names if unknown."""
    return read_text(_find("recipes", "recipe", name))


def recipe_names() -> list[str]:
    """The names of the built-in recipes."""
    return _names("recipes")


def _names(folder: str) -> list[str]:
    return sorted(path.stem for path in (_HERE / folder).glob("*.yaml"))


def _find(folder: str, kind: str, name: str) -> Path:
    names = _names(folder)
    if name not in names:
        raise UserError(f"there is no {kind} {shown(name)}; the built-in ones are {', '.join(names)}")
    return _HERE / folder / f"{name}.yaml"
