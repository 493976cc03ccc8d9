"""Architectures as the published HAT code writes them: in its logs, its samplers and its YAML files."""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hat.arguments import check_count
from hat.errors import UserError, shown
from hat.files import MOST_TEXT_BYTES, check_keys, naming_lines, read_document, read_yaml

# Properties of all published networks; files of SubTransformers leave them to the SuperTransformer's file.
QKV_DIM = 512
LISTS = {
    "encoder": ("encoder_ffn_embed_dim", "encoder_self_attention_heads"),
    "decoder": (
        *("decoder_ffn_embed_dim", "decoder_self_attention_heads", "decoder_ende_attention_heads"),
        "decoder_arbitrary_ende_attn",
    ),
}
# The published code's number for arbitrary attention → the number of last encoder layers attended to.
ATTENDED = {-1: 1, 1: 2, 2: 3}
SUB, ALL = "_subtransformer", "_all_subtransformer"
# The settings of a YAML file, or of a checkpoint, that describe a SubTransformer.
OF_SUB = {f"{side}_{name}{SUB}" for side in LISTS for name in ("embed_dim", "layer_num")}
OF_SUB |= {f"{name}{ALL}" for lists in LISTS.values() for name in lists}
# Settings with the same ending that describe no SubTransformer.
NOT_OF_SUB = {"train_subtransformer", "validate_subtransformer"}
# The beginning of a dictionary in a line of a log, and its greatest length: six layers a side take 500
# characters.
LOGGED = re.compile(r"\{ *'(?:en|de)coder' *:")
LONGEST_LOGGED = 100_000


def read_record(path: Path, qkv_dim: int = QKV_DIM) -> object:
    """The architecture in a file, in our schema: the file's content or its `architecture` (YAML or JSON), or
    one in a form of the published code.

    Published forms are the dictionary that logs print (the last, if there are several), alone or in its line,
    and the `…-subtransformer` settings. `qkv_dim`: used where the published form has none. Raises UserError
    naming file and key.
    """
    value = read_content(path)
    with naming_record_lines(path):
        return _record(value, qkv_dim, path)


def _record(value: object, qkv_dim: int, path: Path) -> object:
    if not isinstance(value, dict):
        return value
    if "architecture" in value:
        return value["architecture"]
    if is_nested(value):
        return schema_of(value, qkv_dim, f"{path}: architecture")
    settings = {str(key).replace("-", "_"): entry for key, entry in value.items()}
    if not any(key in OF_SUB for key in settings):
        return value
    described = check_keys(settings, (*sorted(OF_SUB), "qkv_dim"), str(path), optional=(*OF_SUB, "qkv_dim"))
    try:
        return schema_of(nested(described), described.get("qkv_dim", qkv_dim), "SubTransformer")
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def read_content(path: Path) -> object:
    """The content of a YAML or JSON file, or the last architecture in a log. Raises UserError naming path and
    line."""
    if (logged := _last_logged(path)) is None:
        content: object = read_yaml(path)
        return content
    number, text = logged
    try:
        if len(text) > LONGEST_LOGGED:
            raise ValueError("too long")
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise UserError(f"{path}:{number}: not an architecture: {shown(text)}") from error


@contextmanager
def naming_record_lines(path: Path) -> Iterator[None]:
    """`naming_lines` for the content of `read_content`; in a log, the line of its last architecture."""
    with naming_lines(path, lambda: None if (logged := _last_logged(path)) is None else logged[0]):
        yield


def _last_logged(path: Path) -> tuple[int, str] | None:
    """Line, from 1, and text of the last architecture that a log prints; None where the file has none."""
    lines = read_document(path, MOST_TEXT_BYTES).split("\n")
    for number in range(len(lines), 0, -1):
        line = lines[number - 1]
        if (start := LOGGED.search(line)) and (end := line.rfind("}")) > start.start():
            return number, line[start.start() : end + 1]
    return None


def is_nested(value: object) -> bool:
    """True for a dictionary of two sides with the published fields, as logs print it."""
    if not isinstance(value, Mapping):
        return False
    sides = [value.get(side) for side in LISTS]
    names = [str(name) for side in sides if isinstance(side, Mapping) for name in side]
    return any(name.startswith(("encoder_", "decoder_")) for name in names)


def nested(settings: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """The dictionary of two sides that the settings describe. Raises UserError naming a missing key."""
    sides = {}
    for side, lists in LISTS.items():
        fields: dict[str, object] = {}
        for name in (f"{side}_embed_dim", *lists):
            key = f"{name}{ALL if name in lists else SUB}"
            if settings.get(key) is None:
                raise UserError(f"missing key {key.replace('_', '-')}")
            fields[name] = settings[key]
        depth, first = settings.get(f"{side}_layer_num{SUB}"), fields[lists[0]]
        if depth is None and isinstance(first, list):
            depth = len(first)
        sides[side] = {**fields, f"{side}_layer_num": depth}
    return sides


def schema_of(configuration: object, qkv_dim: object, where: str = "configuration") -> dict[str, Any]:
    """{"encoder": …, "decoder": …} with the published fields in our schema; their numbers are not checked
    yet.

    Lists may be longer than the number of layers; their further items are ignored. A decoder layer that
    attends to more layers than the encoder has attends to all (docs/reference.md, Architectures). Raises
    UserError naming the field.
    """
    sides = check_keys(configuration, tuple(LISTS), where)
    encoder_dim, encoder = _side(sides["encoder"], "encoder", where)
    decoder_dim, decoder = _side(sides["decoder"], "decoder", where)
    layers = []
    for *sizes, code in decoder:
        if type(code) is not int or code not in ATTENDED:
            problem = f"{where}.decoder.decoder_arbitrary_ende_attn: {shown(code)}"
            raise UserError(f"{problem}; the choices are {', '.join(map(str, ATTENDED))}")
        layer = dict(zip(("ffn_dim", "self_heads", "cross_heads"), sizes, strict=True))
        layers.append({**layer, "encoder_layers_attended": min(ATTENDED[code], len(encoder))})
    encoder_layers = [{"ffn_dim": ffn_dim, "heads": heads} for ffn_dim, heads in encoder]
    return {
        "qkv_dim": qkv_dim,
        "encoder": {"embed_dim": encoder_dim, "layers": encoder_layers},
        "decoder": {"embed_dim": decoder_dim, "layers": layers},
    }


def _side(value: object, side: str, where: str) -> tuple[Any, list[tuple[Any, ...]]]:
    """The width of a side, and for each layer its values from the lists."""
    lists, width, depth = LISTS[side], f"{side}_embed_dim", f"{side}_layer_num"
    fields = check_keys(value, (width, depth, *lists), f"{where}.{side}")
    count = fields[depth]
    check_count(f"{where}.{side}.{depth}", count)
    for name in lists:
        if not isinstance(fields[name], list | tuple) or len(fields[name]) < count:
            raise UserError(f"{where}.{side}.{name}: expected a list of {count} values or more")
    columns: list[Sequence[Any]] = [fields[name][:count] for name in lists]
    return fields[width], list(zip(*columns, strict=True))
