"""The settings of a YAML file of the published code, and readers for their values."""

import math
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hat.errors import UserError, named, shown
from hat.files import read_document
from hat.interop.published_options import ALIASES
from hat.strict_yaml import key_lines, line_of


class Settings(dict[str, object]):
    """A file's settings by their Python names; reading one removes it."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, dict) or not value:
            raise UserError("expected a mapping of the published code's settings")
        super().__init__()
        for key, entry in value.items():
            name = _name(str(key))
            if name in self:
                raise UserError(f"{named(key)}: the same option as another key")
            self[name] = entry

    def take(self, key: str, read: Callable[[str, object], Any], default: Any = None) -> Any:
        """The setting, converted by `read`, or `default` if it is absent."""
        value = self.pop(key, None)
        return default if value is None else read(key, value)

    def has(self, *keys: str) -> bool:
        """True if any of the keys is given."""
        return any(self.get(key) is not None for key in keys)


def line_of_setting(path: Path, problem: str) -> int:
    """The line of a file's setting that a message begins with or calls unknown, else 1."""
    lines = key_lines(read_document(path), str(path))
    return line_of(problem, {(_name(key).replace("_", "-"), *rest): n for (key, *rest), n in lines.items()})


def _name(key: str) -> str:
    name = key.replace("-", "_")
    return ALIASES.get(name, name)


def number(key: str, value: object) -> float:
    """A number. YAML reads 1e-7 as text, and the command line makes some options lists of one: both are
    accepted."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        with suppress(ValueError):
            value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"{key.replace('_', '-')}: {shown(value)} is not a number")
    return value


def whole_numbers(key: str, value: object) -> list[int]:
    """A list of whole numbers; a single number counts as a list. Raises UserError."""
    values = value if isinstance(value, list) else [value]
    numbers = [entry for entry in values if isinstance(entry, int) and not isinstance(entry, bool)]
    if not values or len(numbers) < len(values):
        raise UserError(f"{key.replace('_', '-')}: {shown(value)} is not a list of whole numbers")
    return numbers


def flag(key: str, value: object) -> bool:
    """True or False. Raises UserError."""
    if value == "no":  # a text, as it is a language
        return False
    if not isinstance(value, bool):
        raise UserError(f"{key.replace('_', '-')}: {shown(value)} is not true or false")
    return value


def text(key: str, value: object) -> str:
    """A word. Raises UserError."""
    if not isinstance(value, str):
        raise UserError(f"{key.replace('_', '-')}: {shown(value)} is not a word")
    return value
