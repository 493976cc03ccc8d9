"""Values from Python callers and files: converted to plain ones, or refused by name."""

import math
from collections.abc import Collection, Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from hat.errors import UserError, shown

# Iterable, but not in a meaningful order.
UNORDERED = (set, frozenset, Mapping)
PLAIN = (bool, int, float, str, tuple)
NO_LIST = (str, bytes, bytearray, *UNORDERED)


class NotIterable(UserError, TypeError):
    """A user's mistake that is also a TypeError, as callers may expect of Python."""


def whole_number(name: str, value: object) -> int:
    """`value` as an int; it may be NumPy's. Raises UserError naming the argument if it is no whole number."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise UserError(f"{name}: {shown(value)} is not a whole number")
    return int(value)


def finite_number(name: str, value: object) -> float:
    """`value` as a float; it may be NumPy's. Raises UserError naming the argument if it is not finite."""
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise UserError(f"{name}: {shown(value)} is not a finite number")
    return float(value)


def check_count(name: str, value: object, least: int = 1, most: int | None = None) -> None:
    """Raises UserError naming the argument if `value` is no whole number from `least` to `most`."""
    if isinstance(value, int) and not isinstance(value, bool) and value in range(least, (most or value) + 1):
        return
    expected = "a positive whole number" if least == 1 else f"a whole number of at least {least}"
    if most is not None:
        expected = f"a whole number from {least} to {most}"
    raise UserError(f"{name}: {shown(value)} is not {expected}")


def check_range(name: str, value: float, least: float, most: float) -> None:
    """Raises UserError naming the argument if `value` is not from `least` to `most`."""
    if value < least:
        raise UserError(f"{name}: {shown(value)} is less than {least}")
    if value > most:
        raise UserError(f"{name}: {shown(value)} is more than {most}")


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Raises UserError naming the argument and the choices if `value` is none of them."""
    if not isinstance(value, str) or value not in choices:
        raise UserError(f"{name}: {shown(value)}; the choices are {', '.join(choices)}")


def plain_numbers(record: object) -> None:
    """Turn NumPy's numbers in the fields of a frozen dataclass into Python's, for its `__post_init__`."""
    for name, value in vars(record).items():
        if type(value) not in PLAIN and isinstance(value, Real):
            object.__setattr__(record, name, int(value) if isinstance(value, Integral) else float(value))


def file_path(name: str, value: Any) -> Path:
    """`value` as a path. Raises UserError naming the argument."""
    try:
        return Path(value)
    except TypeError as error:
        raise UserError(f"{name}: {shown(value)} is not a path") from error


def check_lines(lines: object) -> None:
    """Raises UserError for a single string, objects that give no lines, and collections without an order."""
    if isinstance(lines, NO_LIST):
        kind = type(lines).__name__ if isinstance(lines, UNORDERED) else "one string"
        raise UserError(f"expected a list of lines, not {kind}")
    _check_iterable(lines, "lines")


def _check_iterable(value: Any, items: str) -> None:
    """Raises NotIterable for an object that cannot be iterated over. `items`: the expected items."""
    try:
        iter(value)
    except TypeError as error:
        raise NotIterable(f"expected a list of {items}, not {shown(value)}, which is not iterable") from error


def text_pairs(pairs: Iterable[object]) -> list[tuple[str, str]]:
    """(source, target) pairs from any iterable. Raises UserError naming the first item that is none."""
    if isinstance(pairs, NO_LIST):
        raise UserError(f"expected a list of (source, target) pairs, not {shown(pairs)}")
    _check_iterable(pairs, "(source, target) pairs")
    return [_text_pair(pair, number) for number, pair in enumerate(pairs, start=1)]


def _text_pair(pair: object, number: int) -> tuple[str, str]:
    texts = tuple(pair) if isinstance(pair, Iterable) and not isinstance(pair, NO_LIST) else ()
    if len(texts) != 2:
        raise UserError(f"pair {number}: expected (source, target), two texts, not {shown(pair)}")
    return texts
