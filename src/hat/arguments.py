"""Arguments of Python callers: converted to plain values, or refused by name."""

import math
from collections.abc import Iterable, Mapping
from numbers import Integral, Real

from hat.errors import UserError, shown

# Iterating over these works, but gives no lines in a meaningful order.
UNORDERED = (set, frozenset, Mapping)
PLAIN = (bool, int, float, str, tuple)
NO_LIST = (str, bytes, bytearray, *UNORDERED)


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


def plain_numbers(record: object) -> None:
    """Turn NumPy's numbers in the fields of a frozen dataclass into Python's, for its `__post_init__`.

    All else that may be wrong with a field is left to the checks of its class.
    """
    for name, value in vars(record).items():
        if type(value) not in PLAIN and isinstance(value, Real):
            object.__setattr__(record, name, int(value) if isinstance(value, Integral) else float(value))


def check_lines(lines: object) -> None:
    """Raises UserError for one string, and for collections without an order."""
    if isinstance(lines, NO_LIST):
        kind = type(lines).__name__ if isinstance(lines, UNORDERED) else "one string"
        raise UserError(f"expected a list of lines, not {kind}")


def text_pairs(pairs: Iterable[object]) -> list[tuple[str, str]]:
    """(source, target) pairs from any iterable. Raises UserError naming the first item that is no such
    pair."""
    if isinstance(pairs, NO_LIST):
        raise UserError(f"expected a list of (source, target) pairs, not {shown(pairs)}")
    return [_text_pair(pair, number) for number, pair in enumerate(pairs, start=1)]


def _text_pair(pair: object, number: int) -> tuple[str, str]:
    texts = tuple(pair) if isinstance(pair, Iterable) and not isinstance(pair, NO_LIST) else ()
    if len(texts) != 2:
        raise UserError(f"pair {number}: expected (source, target), two texts, not {shown(pair)}")
    return texts
