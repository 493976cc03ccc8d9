"""From a recipe file and `--set` overrides to a Recipe, with errors that name file, line and key."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from hat.errors import UserError
from hat.files import read_yaml, write_text
from hat.hardware.devices import LOCAL, declared_devices, default_file
from hat.pipeline.recipe import Recipe
from hat.pipeline.recipe_baselines import BASELINES
from hat.pipeline.recipe_paths import with_absolute_paths
from hat.space import DesignSpace
from hat.zoo import recipe_names, recipe_text, space


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in the file `name`, or the built-in one called so, with overrides and absolute paths.

    Raises UserError with one line per mistake.
    """
    path = Path(name)
    if path.is_file():
        return _build(read_yaml(path), overrides, str(path), path.parent)
    if name in recipe_names():
        return _build(yaml.safe_load(recipe_text(name)), overrides, f"recipe {name}", Path())
    if path.suffix in (".yaml", ".yml", ".json") or path.parent != Path():
        raise UserError(f"{name}: no such recipe file")
    built_in = ", ".join(recipe_names())
    raise UserError(f"{name}: neither a run folder, nor a recipe file, nor a built-in recipe ({built_in})")


def save_recipe(path: Path, recipe: Recipe) -> None:
    """Write the resolved recipe as YAML that `load_recipe` reads back equal."""
    write_text(path, yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True))


def design_space(recipe: Recipe) -> DesignSpace:
    """The recipe's design space. Raises UserError if it is unknown or impossible."""
    if isinstance(recipe.space, str):
        return space(recipe.space)
    return DesignSpace.from_dict(recipe.space, "space")


def _build(value: object, overrides: Sequence[str], where: str, folder: Path) -> Recipe:
    if not isinstance(value, dict):
        raise UserError(f"{where}: a recipe is a mapping of sections; `hat recipe demo` prints one")
    merged = _unshared(value)
    for override in overrides:
        _override(merged, override)
    try:
        recipe = Recipe.model_validate(merged)
    except ValidationError as error:
        lines = _line_numbers(Path(where)) if Path(where).is_file() else {}
        raise UserError("\n".join(_explain(error, where, lines))) from error
    design_space(recipe)
    return _with_device_file(with_absolute_paths(recipe, folder))


def _with_device_file(recipe: Recipe) -> Recipe:
    """The recipe with the file that declares its device, if that is one of those looked for by default:
    the next command may be given in another folder."""
    device, file = recipe.device, default_file()
    if device.name == LOCAL or device.file or device.latencies or file is None:
        return recipe
    if device.name not in declared_devices(file):
        return recipe
    return recipe.model_copy(update={"device": device.model_copy(update={"file": str(file.absolute())})})


def _unshared(value: Any) -> Any:
    """A copy in which what YAML's aliases share is there twice, so that overrides change one of them."""
    if isinstance(value, dict):
        return {key: _unshared(inner) for key, inner in value.items()}
    return [_unshared(inner) for inner in value] if isinstance(value, list) else value


def _override(recipe: dict[str, Any], text: str) -> None:
    """Apply `a.b.c=value`; numbers index lists; the value is YAML. Raises UserError."""
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise UserError(f"--set {text}: write it as key=value, for instance --set super_training.updates=500")
    *parents, last = path.strip().split(".")
    node: Any = recipe
    for key in parents:
        node = _step_into(node, key, text)
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UserError(f"--set {text}: {value!r} is not a YAML value") from error
    if isinstance(node, list):
        node[_index(node, last, text)] = parsed
    else:
        node[last] = parsed


def _step_into(node: Any, key: str, text: str) -> Any:
    if isinstance(node, list):
        inner = node[_index(node, key, text)]
    else:
        inner = node.get(key)
        if inner is None:
            inner = node[key] = {}
    if not isinstance(inner, dict | list):
        raise UserError(f"--set {text}: {key} is {inner!r}, which has no parts")
    return inner


def _index(node: list[Any], key: str, text: str) -> int:
    if not key.isdecimal() or int(key) >= len(node):
        raise UserError(f"--set {text}: {key!r} must be a number from 0 to {len(node) - 1}")
    return int(key)


def _explain(error: ValidationError, where: str, lines: dict[tuple[str, ...], int]) -> list[str]:
    """One line per mistake: file, line if it is in the file, key, what is wrong, what would be right."""
    explained = []
    for mistake in error.errors():
        location, section = _place(tuple(str(part) for part in mistake["loc"]))
        line = next(
            (lines[location[:end]] for end in range(len(location), 0, -1) if location[:end] in lines), 0
        )
        place = f"{where}:{line}" if line else where
        known = ", ".join(section.model_fields)
        match mistake["type"]:
            case "extra_forbidden":
                problem = f"unknown key; the known keys are {known}"
            case "missing":
                problem = f"missing; this section needs it (its keys are {known})"
            case "union_tag_invalid":
                problem = f"kind: {mistake['ctx']['tag']!r}; the choices are {', '.join(BASELINES)}"
            case "value_error":
                problem = str(mistake["ctx"]["error"])
            case _:
                problem = f"{mistake['msg']}, not {mistake['input']!r}"
        explained.append(f"{place}: {'.'.join(location) or 'recipe'}: {problem}")
    return explained


def _place(location: tuple[str, ...]) -> tuple[tuple[str, ...], type[BaseModel]]:
    """The key path as the file has it, and the section of the schema that its last key belongs to.

    After the number of a baseline, pydantic's paths name its kind.
    """
    if len(location) > 2 and location[0] == "baselines" and location[2] in BASELINES:
        own = location[3:]
        return (*location[:2], *own), _section_at(BASELINES[location[2]], own[:-1])
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


def _line_numbers(path: Path) -> dict[tuple[str, ...], int]:
    """Key path → line of the key in the YAML file, from 1."""
    lines: dict[tuple[str, ...], int] = {}

    def visit(node: yaml.Node | None, prefix: tuple[str, ...]) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                lines[(*prefix, str(key.value))] = key.start_mark.line + 1
                visit(value, (*prefix, str(key.value)))
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                lines[(*prefix, str(index))] = value.start_mark.line + 1
                visit(value, (*prefix, str(index)))

    with path.open(encoding="utf-8") as stream:
        visit(yaml.compose(stream, Loader=yaml.SafeLoader), ())
    return lines
