"""From a recipe file and `--set` overrides to a Recipe, with errors that name file, line and key."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hat.errors import UserError, named, shown
from hat.files import MOST_YAML_BYTES, read_document, write_text
from hat.hardware import LOCAL, declared_devices, default_file
from hat.recipe.baselines import BASELINES
from hat.recipe.paths import with_absolute_paths
from hat.recipe.recipe import Recipe
from hat.space import DesignSpace
from hat.strict_yaml import key_lines, line_of, parse_yaml
from hat.zoo import recipe_names, recipe_text, space

# The most parts of an override's key path; the schema is less deep.
MOST_PARTS = 20

Known = TypeVar("Known")


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in the file `name`, or the built-in one of that name, with overrides and absolute paths.
    Without a name of its own it gets that of its file.

    Raises UserError with one line per mistake.
    """
    path = Path(name)
    if path.is_file():
        return _named(_build(read_document(path), overrides, str(path), path.parent), path.stem)
    if name in recipe_names():
        return _named(_build(recipe_text(name), overrides, f"recipe {name}", Path()), name)
    if path.suffix in (".yaml", ".yml", ".json") or path.parent != Path():
        raise UserError(f"{name}: no such recipe file")
    built_in = ", ".join(recipe_names())
    raise UserError(f"{name}: neither a run folder, nor a recipe file, nor a built-in recipe ({built_in})")


def changed_recipe(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """A recipe with overrides, its paths relative to the working directory. Raises UserError."""
    return _build(_resolved(recipe), overrides, "recipe", Path())


def recipe_as_written(name: str) -> Recipe | None:
    """The recipe that `load_recipe` finds without overrides; None where it is none without them."""
    try:
        return load_recipe(name)
    except UserError:
        return None


def save_recipe(path: Path, recipe: Recipe) -> None:
    """Write the resolved recipe as YAML that `load_recipe` reads back equal."""
    write_text(path, _resolved(recipe))


def check_savable(recipe: Recipe) -> None:
    """Check that what `save_recipe` writes can be read again: a number given as text may be one that no file
    may hold, and written out a recipe is longer. Raises UserError."""
    text, where = _resolved(recipe), "the recipe with all its settings"
    if len(text.encode()) > MOST_YAML_BYTES:
        raise UserError(f"{where}: larger than {MOST_YAML_BYTES:,} bytes, the most that is read of a recipe")
    parse_yaml(text, where)


def _resolved(recipe: Recipe) -> str:
    return str(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True))


def design_space(recipe: Recipe) -> DesignSpace:
    """The recipe's design space. Raises UserError if it is unknown or impossible."""
    if isinstance(recipe.space, str):
        return space(recipe.space)
    return DesignSpace.from_dict(recipe.space, "space")


def _check_space(recipe: Recipe) -> None:
    try:
        design_space(recipe)
    except UserError as error:
        problem = str(error)
        raise (error if problem.startswith("space") else UserError(f"space: {problem}")) from error


def _build(text: str, overrides: Sequence[str], where: str, folder: Path) -> Recipe:
    value = parse_yaml(text, where)
    if not isinstance(value, dict):
        raise UserError(f"{where}:1: a recipe is a mapping of sections; `hat recipe demo` prints one")
    merged = _unshared(value)
    given = {_override(merged, override): override for override in overrides}
    try:
        recipe = Recipe.model_validate(merged)
    except ValidationError as error:
        raise UserError("\n".join(_explain(error, where, key_lines(text, where), given))) from error
    try:
        _check_space(recipe)
        return _with_device_file(with_absolute_paths(recipe, folder))
    except UserError as error:
        problem = str(error)
        lines = key_lines(text, where)
        option = _nearest(given, tuple(re.findall(r"[^.\[\]]+", problem.partition(": ")[0])))
        place = where if option else f"{where}:{line_of(problem, lines)}"
        raise UserError(f"{place}: {problem}{_from_option(option)}") from error


def _with_device_file(recipe: Recipe) -> Recipe:
    """The recipe with the file that declares its device, if that is a default one: the next command may be
    given in another folder."""
    device, file = recipe.device, default_file()
    if device.name == LOCAL or device.file or device.latencies or file is None:
        return recipe
    if device.name not in declared_devices(file):
        return recipe
    return recipe.model_copy(update={"device": device.model_copy(update={"file": str(file.absolute())})})


def _named(recipe: Recipe, name: str) -> Recipe:
    return recipe if recipe.name else recipe.model_copy(update={"name": name})


def _unshared(value: Any) -> Any:
    """A copy in which what YAML's aliases share is there twice, so that overrides change one of them."""
    if isinstance(value, dict):
        return {key: _unshared(inner) for key, inner in value.items()}
    return [_unshared(inner) for inner in value] if isinstance(value, list) else value


def _override(recipe: dict[str, Any], text: str) -> tuple[str, ...]:
    """Apply `a.b.c=value` (numbers index lists, the value is YAML); returns its key path. Raises
    UserError."""
    written, equals, value = text.partition("=")
    path = tuple(written.strip().split("."))
    if not equals or not all(path):
        raise UserError(
            f"--set {named(text)}: write it as key=value, for instance --set super_training.updates=500"
        )
    if len(path) > MOST_PARTS:
        raise UserError(f"--set {named(text)}: no key of a recipe has more than {MOST_PARTS} parts")
    *parents, last = path
    node: Any = recipe
    for key in parents:
        node = _step_into(node, key, text)
    parsed = parse_yaml(value, f"--set {named(text)}: not a YAML value", lines=False)
    if isinstance(node, list):
        node[_index(node, last, text)] = parsed
    else:
        node[last] = parsed
    return path


def _step_into(node: Any, key: str, text: str) -> Any:
    if isinstance(node, list):
        inner = node[_index(node, key, text)]
    else:
        inner = node.get(key)
        if inner is None:
            inner = node[key] = {}
    if not isinstance(inner, dict | list):
        raise UserError(f"--set {named(text)}: {named(key)} is {shown(inner)}, which has no parts")
    return inner


def _index(node: list[Any], key: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", key) or int(key) >= len(node):
        expected = f"a number from 0 to {len(node) - 1}" if node else "absent: the list is empty"
        raise UserError(f"--set {named(text)}: {shown(key)} must be {expected}")
    return int(key)


def _explain(
    error: ValidationError,
    where: str,
    lines: Mapping[tuple[str, ...], int],
    given: Mapping[tuple[str, ...], str],
) -> list[str]:
    """One line per mistake: file, line if the key is in the file, key, problem and remedy; and the option, if
    the value is from one of those in `given`."""
    explained = []
    for mistake in error.errors():
        location, section = _place(tuple(str(part) for part in mistake["loc"]))
        option = _nearest(given, location)
        line = _nearest(lines, location) or (None if option else 1)
        place = f"{where}:{line}" if line else where
        key = ".".join(location) or "recipe"
        explained.append(f"{place}: {named(key)}: {_problem(mistake, section)}{_from_option(option)}")
    return explained


def _from_option(option: str | None) -> str:
    return f" (from --set {named(option)})" if option else ""


def _nearest(known: Mapping[tuple[str, ...], Known], location: tuple[str, ...]) -> Known | None:
    """The schema's part for the key path, or else for the nearest section around it."""
    around = (location[:end] for end in range(len(location), 0, -1))
    return next((known[path] for path in around if path in known), None)


def _problem(mistake: ErrorDetails, section: type[BaseModel]) -> str:
    known = ", ".join(section.model_fields)
    match mistake["type"]:
        case "extra_forbidden":
            return f"unknown key; the known keys are {known}"
        case "missing":
            return f"missing; this section needs it (its keys are {known})"
        case "union_tag_invalid":
            return f"kind: {shown(mistake['ctx']['tag'])}; the choices are {', '.join(BASELINES)}"
        case "value_error":
            return str(mistake["ctx"]["error"])
    return f"{mistake['msg']}, not {shown(mistake['input'])}"


def _place(location: tuple[str, ...]) -> tuple[tuple[str, ...], type[BaseModel]]:
    """The key path as the file has it, and the section of the schema that its last key belongs to.

    After the number of a baseline, pydantic's paths name its kind.
    """
    if len(location) > 2 and location[0] == "baselines" and location[2] in BASELINES:
        keys = location[3:]
        return (*location[:2], *keys), _section_at(BASELINES[location[2]], keys[:-1])
    return location, _section_at(Recipe, location[:-1])


def _section_at(section: type[BaseModel], location: Sequence[str]) -> type[BaseModel]:
    """The section of the schema that the key path names, seen from `section`."""
    for key in location:
        field = section.model_fields.get(key)
        for kind in _kinds(field.annotation if field else None):
            section = kind
    return section


def _kinds(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [kind for argument in get_args(annotation) for kind in _kinds(argument)]
