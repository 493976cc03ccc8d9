"""YAML from outside, read strictly: plain values, unique keys, limited size; errors name the line."""

import re
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

import yaml

from hat.errors import UserError, named, shown

MOST_DEPTH = 50
# The most characters that aliases may add to a document. The document itself may count for twice its length.
MOST_CHARACTERS = 100_000
MOST_DIGITS = 20

PREFIX = "tag:yaml.org,2002:"
MERGE = f"{PREFIX}merge"
# Tag of a scalar → the kind of value, for messages. Any other tag is refused.
SCALARS = {
    f"{PREFIX}str": "a text: it holds a NUL or half a character",
    f"{PREFIX}int": "a whole number below 2^63",
    f"{PREFIX}float": "a finite number",
    f"{PREFIX}bool": "true or false",
    f"{PREFIX}null": "null",
    MERGE: "<<",
}
TAGS = {*SCALARS, f"{PREFIX}map", f"{PREFIX}seq"}
UNWRITABLE = re.compile("[\0\ud800-\udfff]")  # NUL and halves of characters
# Without the numbers to base 60 of YAML 1.1, which read the lengths 10:12 as 612.
WHOLE = re.compile(r"^[-+]?(?:0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$")
# With the words of YAML 1.1, but without no, which is Norwegian; fields that want true or false know it.
TRUTH = re.compile(r"^(?:true|True|TRUE|false|False|FALSE|yes|Yes|YES|No|NO|on|On|ON|off|Off|OFF)$")
DECIMAL = re.compile(
    r"^[-+]?(?:(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+][0-9]+)?|\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)


def parse_yaml(text: str, where: str, *, lines: bool = True) -> Any:
    """The value of a YAML document: mappings, lists, texts, numbers, booleans, null. Dates are texts.

    Raises UserError as `where:line: problem` (without the line where `lines` is false): for text that is
    not YAML, a key twice in a mapping, other tags, NaN and infinities, nesting deeper than MOST_DEPTH, and
    aliases that contain themselves or make the document longer by more than MOST_CHARACTERS.
    """
    return _read(text, where, lines)[0]


def key_lines(text: str, where: str) -> dict[tuple[str, ...], int]:
    """Path of each key and list item of a YAML document → its line, from 1. Raises UserError as `parse_yaml`
    does."""
    return dict(_lines(_read(text, where, lines=True)[1], ()))


def line_of(problem: str, lines: Mapping[tuple[str, ...], int]) -> int:
    """The line of the key named by a message `key.path[0].key: problem`, or of its unknown key; else
    the line of the nearest section around it, or 1. `lines`: the result of `key_lines`."""
    unknown = re.search(r"unknown key ([^;,]+)", problem)
    parts = [part for part in problem.split(": ")[:2] if not re.search(r"\s", part)]
    path: tuple[str, ...] = ()
    for key in re.findall(r"[^.\[\]:\s]+", ": ".join([*parts, unknown[1] if unknown else ""])):
        path = (*path, key) if (*path, key) in lines else path
    return lines.get(path, 1)


def _read(text: str, where: str, lines: bool) -> tuple[Any, yaml.Node | None]:
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        return None if node is None else loader.construct_document(node), node
    except (yaml.YAMLError, RecursionError) as error:
        line, problem = _explained(error, text)
        place = f"{where}:{line}" if lines else where
        raise UserError(f"{place}: {problem}") from error


def _lines(node: yaml.Node | None, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    if isinstance(node, yaml.MappingNode):
        inner = [(str(key.value), key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        inner = [(str(index), value, value) for index, value in enumerate(node.value)]
    else:
        return
    for name, marked, value in inner:
        yield (*path, name), marked.start_mark.line + 1
        yield from _lines(value, (*path, name))


def _explained(error: Exception, text: str) -> tuple[int, str]:
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return line, f"the character {shown(text[error.position])} is not allowed in YAML"
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "not YAML"
    if problem.startswith("but "):
        problem = f"{getattr(error, 'context', None)}, {problem}"
    return mark.line + 1 if mark else 1, named(problem)


class _Loader(yaml.SafeLoader):
    """Checks each node when it is composed, so that nothing is built from a refused document."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._sizes: dict[int, int] = {}  # by the node's id; the tree keeps the nodes alive
        self._most = 2 * len(text) + MOST_CHARACTERS

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        mark = parent.start_mark if parent else None
        alias = self.check_event(yaml.AliasEvent)
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise _wrong(f"nested deeper than {MOST_DEPTH} levels", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        assert node is not None
        if not alias:
            self._check(node)
            self._sizes[id(node)] = self._size(node)
        elif id(node) not in self._sizes:
            raise _wrong("an alias inside the part that it repeats", mark)
        if self._sizes[id(node)] > self._most:
            longer = f"its aliases make it longer by more than {MOST_CHARACTERS:,} characters"
            raise _wrong(longer, mark if alias else node.start_mark)
        return node

    def _size(self, node: yaml.Node) -> int:
        if isinstance(node, yaml.ScalarNode):
            return len(node.value) + 1
        pairs = node.value if isinstance(node, yaml.MappingNode) else [(inner,) for inner in node.value]
        return 1 + sum(self._sizes[id(inner)] for pair in pairs for inner in pair)

    def _check(self, node: yaml.Node) -> None:
        if node.tag not in TAGS:
            tag = shown(node.tag.replace(PREFIX, "!!"))
            raise _wrong(f"the tag {tag} is not read here; leave it out", node.start_mark)
        if isinstance(node, yaml.MappingNode):
            _check_keys(node)
        elif isinstance(node, yaml.ScalarNode) and node.tag in SCALARS and not self._is_right(node):
            raise _wrong(f"{shown(node.value)} is not {SCALARS[node.tag]}", node.start_mark)

    def _is_right(self, node: yaml.ScalarNode) -> bool:
        if node.tag in (MERGE, f"{PREFIX}str"):
            return not UNWRITABLE.search(node.value)
        if node.tag == f"{PREFIX}int" and len(node.value) > MOST_DIGITS:
            return False
        try:
            value = self.construct_object(node)
        except (ValueError, KeyError, IndexError, OverflowError):
            return False
        if isinstance(value, int):
            return -(2**63) <= value < 2**63
        return not isinstance(value, float) or isfinite(value)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag in {f"{PREFIX}null", MERGE}]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(f"{PREFIX}bool", TRUTH, list("tTfFyYNoO"))
_Loader.add_implicit_resolver(f"{PREFIX}int", WHOLE, list("-+0123456789"))
_Loader.add_implicit_resolver(f"{PREFIX}float", DECIMAL, list("-+0123456789."))


def _check_keys(node: yaml.MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _wrong("a key is one word or number, not a list or mapping", key.start_mark)
        if key.value in seen:
            raise _wrong(f"the key {named(key.value)} twice", key.start_mark)
        seen.add(key.value)


def _wrong(problem: str, mark: yaml.Mark | None) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
