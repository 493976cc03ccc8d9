"""Damaged artefacts: mutations of small good ones, each made from its seed alone.

What is changed is the content, and the lengths around it are mended, so that every parser is reached.
"""

import json
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hat.runtime import TokenizerConfig, TrainingLines
from tests.runtime.protocol_buffers import changed_within, record, records_of, varint
from tests.runtime.random_models import random_artefact
from tests.runtime.tiny_tokenizer import train_tokenizer

CONFIG, WEIGHTS = "config.json", "model.safetensors"
# Codes of four bits are looked up in tables, those of five expanded.
PRECISIONS = ("float32", "bfloat16", "int8", "kmeans4", "kmeans5")
# Path within an artefact's folder → content.
Files = dict[str, bytes]
Mutation = Callable[[random.Random, Files], None]

FEW_LETTERS = ["one tone none", "ten tents net one tenon", "no note to teen", "neon teeth not hot then"]
LETTERS = ["pack my box with five dozen liquor jugs", "sphinx of black quartz judge my vow", *FEW_LETTERS]
HERE = "\0here"  # stands for a literal that json.dumps cannot write
LITERALS = (
    *("-1", "0", "1", "2", "3", "4", "1.5", "1e3", "1e400", "-0", "NaN", "Infinity", "-Infinity"),
    *("127", "4096", "65536", "1048576", "2147483647", "2147483648", "4294967296", "9223372036854775808"),
    *("18446744073709551615", "18446744073709551616", "1" + "0" * 400, "1" * 5000, "-" + "9" * 4000),
    *("true", "null", '""', '"x"', '"F32"', '"BF16"', '"I8"', '"F16"', '"int8"', '"separate"', '"shared"'),
    *('"U8"', '"kmeans4"', '"kmeans8"', '"kmeans9"', '"float32"', '"k-means++"'),
    *('"\\ud800"', '"\\u0000"', '"a\\nb\\u001b[31m"', '"' + "y" * 20000 + '"'),
    *("[]", "{}", "[[]]", "[0]", '{"a": 1}', "[0, 0]", "[1, 2, 3]", "[" * 50000 + "]" * 50000),
    *('{"a":' * 3000 + "1" + "}" * 3000, "[" + "0," * 5000 + "0]", "", "[1,", "}"),
)
KEYS = ("", "x", "a\nb", "\x1b[2J", "__metadata__", "\ud800", "dtype", "shape", "beam", "z" * 20000)


def bases(folder: Path) -> list[Files]:
    """Good artefacts: every kind of precision, with one vocabulary for both sides and with two; those with
    one also have layers that lack parts and attentions with widths of their own, the others factorised
    embeddings."""
    for name, lines, size in (
        ("joint", LETTERS, 128),
        ("source", FEW_LETTERS, 40),
        ("target", LETTERS, 50),
    ):
        train_tokenizer(folder / f"{name}.model", lines, vocab_size=size)
    found = []
    for seed in (1, 2):
        for precision in PRECISIONS:
            artefact = random_artefact(
                seed, precision, uneven=seed == 1, embedding_rank=10 if seed == 2 else None
            )
            config = replace(
                artefact.config,
                tokenizer=TokenizerConfig(joint=seed == 1),
                training_lines=TrainingLines(12) if seed == 1 else None,
            )
            path = folder / f"{seed}-{precision}"
            replace(artefact, config=config, tokenizer_folder=folder).save(path)
            found.append({str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*.*") if p.is_file()})
    return found


def mutant(seed: int, good: list[Files]) -> Files:
    """One to three mutations of one of the `good` artefacts."""
    rng = random.Random(seed)
    files = dict(rng.choice(good))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(MUTATIONS)(rng, files)
    if rng.random() < 0.02:
        del files[rng.choice(list(files))]
    return files


# ---- JSON: config.json and the header of the weights ----


def _config(rng: random.Random, files: Files) -> None:
    files[CONFIG] = _mutated_json(rng, files[CONFIG])


def _header(rng: random.Random, files: Files) -> None:
    header, data = _split(files[WEIGHTS])
    files[WEIGHTS] = _joined(_mutated_json(rng, header), data)


def _mutated_json(rng: random.Random, content: bytes) -> bytes:
    try:
        value = json.loads(content)
        nodes = list(_nodes(value))
    except (ValueError, RecursionError):
        return _damaged(rng, content)
    if not nodes:
        return content
    return rng.choice((_literal, _literal, _literal, _near, _rekeyed, _doubled, _text))(rng, value, nodes)


def _nodes(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key or index) of JSON data."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _nodes(inner)


def _dump(value: Any, literal: str = '""') -> bytes:
    return json.dumps(value).replace(json.dumps(HERE), literal).encode()


def _literal(rng: random.Random, value: Any, nodes: list[tuple[Any, Any]]) -> bytes:
    container, key = rng.choice(nodes)
    container[key] = HERE
    return _dump(value, rng.choice(LITERALS))


def _near(rng: random.Random, value: Any, nodes: list[tuple[Any, Any]]) -> bytes:
    """A number that is only a little wrong, or exchanged with another."""
    numbers = [(c, k) for c, k in nodes if isinstance(c[k], int | float) and not isinstance(c[k], bool)]
    if not numbers:
        return _dump(value)
    container, key = rng.choice(numbers)
    other, other_key = rng.choice(numbers)
    old = container[key]
    container[key] = rng.choice((old + 1, old - 1, old * 2, -old, float(old), other[other_key]))
    return _dump(value)


def _rekeyed(rng: random.Random, value: Any, nodes: list[tuple[Any, Any]]) -> bytes:
    """A key (or element) dropped, added, or put in another's place."""
    container, key = rng.choice(nodes)
    inner = container[key]
    choice = rng.randrange(3)
    if choice != 1:
        del container[key]
    if choice != 0 and isinstance(container, dict):
        container[rng.choice(KEYS)] = inner
    elif choice != 0:
        container += [inner, inner]
    return _dump(value)


def _doubled(rng: random.Random, value: Any, nodes: list[tuple[Any, Any]]) -> bytes:
    """One mapping has a key twice, with other content the second time."""
    mappings = [c for c, _ in nodes if isinstance(c, dict)]
    if not mappings:
        return _dump(value)
    mapping = rng.choice(mappings)
    key = rng.choice(list(mapping))
    mapping[HERE] = mapping[rng.choice(list(mapping))]
    return _dump(value, json.dumps(key))


def _text(rng: random.Random, value: Any, nodes: list[tuple[Any, Any]]) -> bytes:
    return _damaged(rng, _dump(value))


# ---- weights ----


def _header_length(rng: random.Random, files: Files) -> None:
    content = files[WEIGHTS]
    (size,) = struct.unpack("<Q", content[:8].ljust(8, b"\0"))
    lengths = (0, 1, 8, size - 1, size + 1, size + 8, len(content), 10**8, 2**32, 2**63, 2**64 - 1)
    files[WEIGHTS] = struct.pack("<Q", rng.choice(lengths) % 2**64) + content[8:]


def _retyped(rng: random.Random, files: Files) -> None:
    """A header that agrees with itself and the data's length, about a tensor that is another."""
    header, data = _split(files[WEIGHTS])
    try:
        value = json.loads(header)
        names = [name for name in value if len(value[name]["shape"]) > 0]
        entry = value[rng.choice(names)]
        choice = rng.randrange(4)
        if choice == 0:
            entry["shape"] = entry["shape"][::-1]
        elif choice == 1:
            entry["shape"] = [1, *entry["shape"]]
        elif choice == 2:
            entry["dtype"] = {"F32": "I32", "BF16": "F16", "I8": "U8", "U8": "I8"}[entry["dtype"]]
        else:
            name, other = rng.choice(names), rng.choice(names)
            value[name], value[other] = value[other], value[name]
    except (ValueError, LookupError, TypeError, RecursionError):
        return  # an earlier mutation has been here
    files[WEIGHTS] = _joined(_dump(value), data)


FLOATS = (np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 1e30, 1e-38, 1e-45, 0.0, -0.0, -1.0, 1e10)


def _values(rng: random.Random, files: Files) -> None:
    """Extreme numbers in one tensor or in all: in one place, in a tenth of them, everywhere."""
    header, data = _split(files[WEIGHTS])
    try:
        entries = list(json.loads(header).values())
        for entry in entries if rng.random() < 0.2 else [rng.choice(entries)]:
            first, last = entry["data_offsets"]
            changed = _extreme(rng, data[first:last], entry["dtype"])
            data = data[:first] + changed + data[last:]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return
    files[WEIGHTS] = _joined(header, data)


def _extreme(rng: random.Random, content: bytes, dtype: str) -> bytes:
    array = np.frombuffer(content, {"F32": "<f4", "BF16": "<u2", "I8": "i1", "U8": "u1"}[dtype]).copy()
    share = rng.choice((0.0, 0.1, 1.0))
    chosen = np.random.default_rng(rng.getrandbits(32)).random(array.size) < share
    chosen[rng.randrange(array.size)] = True
    number = np.float32(rng.choice(FLOATS))
    if dtype == "F32":
        array[chosen] = number
    elif dtype == "BF16":
        array[chosen] = number.view(np.uint32) >> 16
    elif dtype == "I8":
        array[chosen] = rng.choice((-128, -127, 127, 0))
    else:
        array[chosen] = rng.choice((0, 15, 240, 255))
    return array.tobytes()


def _split(content: bytes) -> tuple[bytes, bytes]:
    """Header and data of a safetensors file."""
    (size,) = struct.unpack("<Q", content[:8].ljust(8, b"\0"))
    return content[8 : 8 + size], content[8 + size :]


def _joined(header: bytes, data: bytes) -> bytes:
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data


# ---- tokenizer: records of a protocol buffer ----


def _tokenizer(rng: random.Random, files: Files) -> None:
    name = rng.choice([name for name in files if name.endswith(".model")])
    files[name] = _mutated_records(rng, files[name], depth=0)


def _normaliser(rng: random.Random, files: Files) -> None:
    """Wrong links in the trie of the normaliser's rules, which is walked for every character: in its
    first nodes, in some, in all."""
    name = rng.choice([name for name in files if name.endswith(".model")])

    def damaged(rules: bytes) -> bytes:
        (size,) = struct.unpack("<I", rules[:4])
        units = np.frombuffer(rules[4 : 4 + size], "<u4").copy()
        values = np.random.default_rng(rng.getrandbits(32))
        chosen = values.random(len(units)) < rng.choice((0.001, 0.1, 1.0))
        chosen[: rng.choice((0, 1, 256))] = True
        kept = np.uint32(rng.choice((0, 0x3FF, 0x800003FF)))  # nothing, labels, labels and leaves' marks
        units[chosen] = units[chosen] & kept | values.integers(0, 2**32, chosen.sum(), np.uint32) & ~kept
        return rules[:4] + units.tobytes() + rules[4 + size :]

    try:
        files[name] = changed_within(files[name], (3, 2), damaged)
    except (IndexError, ValueError, struct.error):
        return  # an earlier mutation has been here


def _mutated_records(rng: random.Random, content: bytes, depth: int) -> bytes:
    """One record changed, itself or (where it holds others) within; lengths around it are right."""
    try:
        records = list(records_of(content))
    except (IndexError, ValueError):
        records = []
    if not records:
        return _damaged(rng, content)
    kinds = sorted({tag for tag, _ in records})
    tag = rng.choice(kinds)  # not the record: most are pieces
    at = rng.choice([i for i, (kind, _) in enumerate(records) if kind == tag])
    choice = rng.randrange(8)
    if choice == 0:
        del records[at]
    elif choice == 1:
        records.insert(rng.randrange(len(records) + 1), records[at])
    elif choice == 2:
        records[at] = tag, rng.choice(records)[1]
    elif tag & 7 == 2 and depth < 2 and choice < 7:
        records[at] = tag, _mutated_records(rng, records[at][1], depth + 1)
    elif tag & 7 == 0:
        records[at] = tag, varint(rng.choice((0, 1, 2, 3, 4, 5, 127, 2**31 - 1, 2**32, 2**64 - 1)))
    elif tag & 7 == 5:
        records[at] = tag, struct.pack("<f", rng.choice(FLOATS))
    else:
        records[at] = tag, _damaged(rng, records[at][1])
    return b"".join(record(*one) for one in records)


def _any(rng: random.Random, files: Files) -> None:
    name = rng.choice(list(files))
    files[name] = _damaged(rng, files[name])


def _exchanged(rng: random.Random, files: Files) -> None:
    """One file's content under another's name."""
    name, other = rng.sample(list(files), 2)
    files[name] = files[other]


def _damaged(rng: random.Random, content: bytes) -> bytes:
    """Cut short, bits and bytes changed, a stretch left out, repeated or moved, or garbage."""
    if not content:
        return rng.randbytes(rng.randrange(64))
    at, size = rng.randrange(len(content)), min(len(content), rng.choice((1, 2, 4, 8, 64, 1000)))
    # Half of the places are near the beginning, where the structure is.
    at = at if rng.random() < 0.5 else min(at, rng.randrange(64))
    before, there, after = content[:at], content[at : at + size], content[at + size :]
    flipped = bytearray(content)
    for _ in range(rng.choice((1, 2, 10, 100))):
        flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    damaged = (
        before,
        before + after,
        before + there * rng.choice((2, 3, 100)) + after,
        before + rng.choice((b"\0", b"\xff", b"\x80", b"\x7f")) * size + after,
        before + rng.randbytes(size) + after,
        rng.randbytes(min(len(content), rng.choice((0, 1, 7, 100, 5000)))),
        bytes(flipped),
    )
    return rng.choice(damaged)


MUTATIONS: tuple[Mutation, ...] = (
    *(_config, _config, _config, _header, _header, _header_length, _retyped),
    *(_values, _values, _tokenizer, _tokenizer, _normaliser, _any, _exchanged),
)
