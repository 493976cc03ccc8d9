"""JSON from outside, read strictly: limited size, unique keys, finite numbers; errors name the line."""

import json
import re
from collections.abc import Iterator
from math import isfinite
from typing import Any

from hat.errors import UserError, named, shown

MOST_DEPTH = 100
# 2^63 has 19 digits; no count in the project is larger, and NumPy and SQLite hold no larger ones.
MOST_DIGITS = 19

# An escape of a lone surrogate, half a character, which neither files nor terminals can hold.
HALF = re.compile(r"\\u[dD][89a-fA-F]")
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"(?P<key>\s*:)?|[][{}]|[^]\s[{},:"]+')


class _NotStrict(ValueError):
    """JSON that Python would accept, but HAT does not."""


def parse_json(text: str | bytes, where: str) -> Any:
    """The value of a JSON document. `where`: the name of the file or other source, for messages.

    Raises UserError as `where:line: problem`: for text that is not JSON, a key twice in a mapping, NaN and
    infinities, whole numbers beyond 2^63, lone surrogates, and nesting deeper than MOST_DEPTH.
    """
    try:
        text = text if isinstance(text, str) else text.decode("utf-8")
        value = _DECODER.decode(text)
        if _is_deep(value) or (HALF.search(text) and any(_problems(text))):
            raise _NotStrict("not strict JSON")
        return value
    except json.JSONDecodeError as error:
        raise UserError(f"{where}:{error.lineno}: {error.msg}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(f"{where}:{line}: not UTF-8 text (byte {error.start})") from error
    except (_NotStrict, RecursionError) as error:
        assert isinstance(text, str)
        position, problem = next(_problems(text), (0, str(error)))
        line = text.count("\n", 0, position) + 1
        raise UserError(f"{where}:{line}: {problem}") from error


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(MOST_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _problems(text: str) -> Iterator[tuple[int, str]]:
    """Position and description of each thing that is refused in well-formed JSON."""
    keys: list[set[str]] = []
    for token in TOKEN.finditer(text):
        word, start = token.group(), token.start()
        if word in ("{", "["):
            keys.append(set())
            if len(keys) > MOST_DEPTH:
                yield start, f"nested deeper than {MOST_DEPTH} levels"
        elif word in ("}", "]"):
            keys.pop()
        elif word.startswith('"'):
            string = json.loads(word.removesuffix(token["key"] or ""))
            if not string.isprintable() and any("\ud800" <= character <= "\udfff" for character in string):
                yield start, f"{shown(string)} holds half a character"
            if token["key"]:
                if string in keys[-1]:
                    yield start, f"the key {named(string)} twice"
                keys[-1].add(string)
        elif word not in ("true", "false", "null"):
            try:
                (_integer if word.lstrip("-").isdecimal() else _number)(word)
            except _NotStrict as error:
                yield start, str(error)


def _without_a_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        raise _NotStrict("a key twice")
    return mapping


def _integer(text: str) -> int:
    if len(text) <= MOST_DIGITS + 1 and -(2**63) <= (number := int(text)) < 2**63:
        return number
    raise _NotStrict(f"a whole number of {len(text.lstrip('-'))} digits is too large")


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError as error:  # text that begins like a number, in a damaged file
        raise _NotStrict(f"{named(text)} is not a number") from error
    if isfinite(number):
        return number
    raise _NotStrict(f"{named(text)} is not a finite number")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_without_a_key_twice, parse_int=_integer, parse_float=_number, parse_constant=_number
)
