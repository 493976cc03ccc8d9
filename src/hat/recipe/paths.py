"""Paths in a recipe, in all sections: relative to its file, made absolute when it is loaded."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hat.errors import UserError, shown

S = TypeVar("S", bound=BaseModel)


@dataclass(frozen=True)
class PathMark:
    """Marks a field, or the items of a list, as paths. `or_name`: text without a / is the name of something
    else and stays unchanged."""

    or_name: bool = False

    def absolute(self, value: Any, folder: Path) -> Any:
        """The paths of a recipe in `folder`, with ~ and $NAME expanded."""
        if isinstance(value, list):
            return [self.absolute(one, folder) for one in value]
        if value is None or (self.or_name and "/" not in value):
            return value
        try:
            return str((folder / Path(os.path.expandvars(value)).expanduser()).resolve())
        except (RuntimeError, ValueError, OSError) as error:  # an unknown user, a NUL, a loop of links
            raise UserError(f"{shown(value)} is not a path here: {error}") from error


RecipePath = Annotated[str, PathMark()]
"""The type of a field that holds a path."""
PathOrName = Annotated[str, PathMark(or_name=True)]
"""The type of a field that holds a path (any text with a /) or else a name."""


def with_absolute_paths(section: S, folder: Path) -> S:
    """A section of a recipe in `folder`, and all sections in it, with absolute paths. Raises UserError as
    `key.path: what is wrong`."""
    values = {name: getattr(section, name) for name in type(section).model_fields}
    marks = {name: path_mark(field) for name, field in type(section).model_fields.items()}
    changed = {name: _absolute(name, value, marks[name], folder) for name, value in values.items()}
    return section.model_copy(update={name: new for name, new in changed.items() if new != values[name]})


def _absolute(name: str, value: Any, mark: PathMark | None, folder: Path) -> Any:
    try:
        return mark.absolute(value, folder) if mark else _inside(value, folder)
    except UserError as error:
        raise UserError(f"{name}{': ' if mark else '.'}{error}") from error


def _inside(value: Any, folder: Path) -> Any:
    if isinstance(value, list):
        return [_inside(one, folder) for one in value]
    return with_absolute_paths(value, folder) if isinstance(value, BaseModel) else value


def path_mark(field: FieldInfo) -> PathMark | None:
    """The mark of a field that holds paths; None for other fields."""
    marks = (one for one in (*field.metadata, *_parts(field.annotation)) if isinstance(one, PathMark))
    return next(marks, None)


def _parts(annotation: Any) -> Iterator[Any]:
    """All parts of a type, such as the members of a union and marks, at any depth."""
    for part in get_args(annotation):
        yield part
        yield from _parts(part)
