"""YAML, JSON and plain text from outside: read strictly, bounded, with errors that name file and line."""

import json
from pathlib import Path

import pytest

from hat.architecture import Architecture, load_architecture
from hat.errors import HatError, UserError, readable, visible
from hat.files import read_json, read_text, read_yaml
from hat.hardware import known_devices
from hat.strict_json import parse_json
from hat.strict_yaml import key_lines, parse_yaml
from tests.yaml_bomb import bomb


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        (bomb(9), 5, "its aliases make it longer by more than 100,000 characters"),
        (f"a: &a {'x' * 2000}\nb: [{', '.join(['*a'] * 600)}]", 2, "aliases make it longer"),
        ("x:\n- &a {x: 1}\n- {<<: [" + ", ".join(["*a"] * 9) + "], y: &b [*b]}", 3, "that it repeats"),
        ("a: 1\nb: &x [*x]", 2, "an alias inside the part that it repeats"),
        ("a: 1\nb: &x {c: {d: *x}}", 2, "an alias inside the part that it repeats"),
        ("a: *nowhere", 1, "found undefined alias 'nowhere'"),
        ("a: 1\nb: !!int foo", 2, "'foo' is not a whole number"),
        ("a: !!int ''", 1, "'' is not a whole number"),
        ("a: !!float foo", 1, "'foo' is not a finite number"),
        ("a: !!bool foo", 1, "'foo' is not true or false"),
        ("a: !!timestamp 2024-99-99", 1, "the tag '!!timestamp' is not read here"),
        ("a: !!timestamp 2024-01-01", 1, "the tag '!!timestamp' is not read here"),
        ("a: !!binary eA==", 1, "the tag '!!binary' is not read here"),
        ("a: !!set {x}", 1, "the tag '!!set' is not read here"),
        ("a: !!omap [x: 1]", 1, "the tag '!!omap' is not read here"),
        ("a: !!python/object/apply:os.system [x]", 1, "'!!python/object/apply:os.system' is not read here"),
        ("a: !mine x", 1, "the tag '!mine' is not read here"),
        ("a: !!seq {x: 1}", 1, "expected a sequence node"),
        ("a: .nan", 1, "'.nan' is not a finite number"),
        ("a: [1,\n-.inf]", 2, "'-.inf' is not a finite number"),
        ("a: 1.0e+999", 1, "'1.0e+999' is not a finite number"),
        (f"a: {'9' * 5000}", 1, "is not a whole number below 2^63"),
        (f"a: 0x{'f' * 16}", 1, "is not a whole number below 2^63"),
        ('a: "\\ud800"', 1, "half a character"),
        ('a: "/tmp/\\0"', 1, "it holds a NUL"),
        ("a: 1\nb: 2\na: 3", 3, "the key a twice"),
        ("? [1]\n: x", 1, "a key is one word or number"),
        ("[" * 5000, 1, "nested deeper than 50 levels"),
        ("<<: 5", 1, "expected a mapping or list of mappings for merging"),
        ("a: 1\nb: \x07", 2, r"the character '\x07' is not allowed in YAML"),
        ("--- 1\n--- 2", 2, "expected a single document in the stream, but found another document"),
        ("a: [1", 1, "expected ',' or ']'"),
    ],
)
def test_yaml_that_is_refused_is_told_with_its_line(text: str, line: int, problem: str) -> None:
    with pytest.raises(UserError) as refused:
        parse_yaml(text, "f.yaml")
    assert str(refused.value).startswith(f"f.yaml:{line}: ")
    assert problem in str(refused.value)
    assert len(str(refused.value)) < 300
    with pytest.raises(UserError, match=r"^--set x: "):
        parse_yaml(text, "--set x", lines=False)


def test_yaml_values_are_plain() -> None:
    text = "a: 2024-01-01\nb: 10:12\nc: 2024-99-99\nd: =\ne: 1_000\nf: 0x10\ng: -.5\nh: yes\ni: ~\nj: 1.5e+3"
    values = ["2024-01-01", "10:12", "2024-99-99", "=", 1000, 16, -0.5, True, None, 1500.0]
    assert list(parse_yaml(text, "f").values()) == values
    assert parse_yaml("", "f") is None


def test_norwegian_is_no_truth_value() -> None:
    assert parse_yaml("a: no\nb: !!bool no\nc: No\nd: [false, off]", "f") == {
        "a": "no",
        "b": False,
        "c": False,
        "d": [False, False],
    }


def test_merged_and_shared_yaml_is_read() -> None:
    text = "x: {b: &b {<<: &a {x: 1, y: 1}, x: 2}}\nc: {<<: *b, z: 3}\nd: [*a, *a]"
    assert parse_yaml(text, "f") == {
        "x": {"b": {"x": 2, "y": 1}},
        "c": {"x": 2, "y": 1, "z": 3},
        "d": [{"x": 1, "y": 1}] * 2,
    }


def test_any_text_without_aliases_is_short_enough() -> None:
    for text in ("{" + ",".join(map(str, range(40_000))) + "}", "- \n" * 80_000, "x" * 2**18):
        assert parse_yaml(text, "f")


def test_lines_of_keys_and_items() -> None:
    lines = key_lines("a:\n  b: [1,\n    2]\nc: {d: 3}", "f")
    assert lines == {
        ("a",): 1,
        ("a", "b"): 2,
        ("a", "b", "0"): 2,
        ("a", "b", "1"): 3,
        ("c",): 4,
        ("c", "d"): 4,
    }


ARCHITECTURE = """\
qkv_dim: 8
encoder:
  embed_dim: 8
  layers: [{ffn_dim: 8, heads: 2}]
decoder:
  embed_dim: 8
  layers:
  - ffn_dim: 8
    self_heads: 2
    cross_heads: 2
"""


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("qkv_dim: 8", "qkv: 8", 1),
        ("heads: 2}", "heads: x}", 4),
        ("decoder:", "dec:", 5),
        ("self_heads: 2", "self_heads: 3", 9),
        ("cross_heads: 2", "cross_heads: 2024-01-01", 10),
        ("cross_heads: 2", "cross: 2", 10),
    ],
)
def test_wrong_values_are_told_with_the_line_of_their_key(
    tmp_path: Path, old: str, new: str, line: int
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(ARCHITECTURE.replace(old, new))
    for load in (load_architecture, Architecture.load):
        with pytest.raises(UserError, match=rf"a\.yaml:{line}: architecture[.:]"):
            load(path)
    path.write_text("devices:\n  a: {}\n  b:\n    threads: 1\n    cores: x\n")
    with pytest.raises(UserError, match=r"a\.yaml:5: devices\.b: cores: "):
        known_devices(path)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ('{"a": 1,\n"b": NaN}', 2, "NaN is not a finite number"),
        ("[1,\n-Infinity]", 2, "-Infinity is not a finite number"),
        ("[1,\n1e999]", 2, "1e999 is not a finite number"),
        ("[1,\n" + "9" * 5000 + "]", 2, "a whole number of 5000 digits is too large"),
        ("[9223372036854775808]", 1, "a whole number of 19 digits is too large"),
        ('{"a": {"b": 1,\n"c": [{"b": 1}],\n"b": 2}}', 3, "the key b twice"),
        ('["\\ud83d\\ude00",\n"\\ud800"]', 2, "half a character"),
        ("[\n" * 101 + "]" * 101, 101, "nested deeper than 100 levels"),
        ("[" * 100_000, 1, "nested deeper than 100 levels"),
        ("[1,\n1e999abc]", 2, "1e999abc is not a number"),  # which begins as one that is refused
        (f"[1,\n{'9' * 30}.x]", 2, f"{'9' * 30}.x is not a number"),
        ('{"a":\n}', 2, "Expecting value"),
        ("", 1, "Expecting value"),
        ("\ufeff{}", 1, "Expecting value"),
    ],
)
def test_json_that_is_refused_is_told_with_its_line(text: str, line: int, problem: str) -> None:
    with pytest.raises(UserError) as refused:
        parse_json(text, "f.json")
    assert str(refused.value) == f"f.json:{line}: " + str(refused.value).partition(": ")[2]
    assert problem in str(refused.value)
    assert len(str(refused.value)) < 300


def test_json_is_read_as_python_reads_it() -> None:
    value = {"a": [1, -2.5, None, True, "\n😀", {}], "b": -(2**63), "c": {"a": "[{"}}
    assert parse_json(json.dumps(value), "f") == value
    assert parse_json(json.dumps(value).encode(), "f") == value
    assert parse_json("[" * 100 + "]" * 100, "f")


def test_files_that_are_too_large_or_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * (2**18 + 1))
    with pytest.raises(UserError, match=r"f: larger than 262,144 bytes"):
        read_yaml(path)
    path.write_bytes(b"a\nb\xff")
    with pytest.raises(UserError, match=r"f:2: not UTF-8 text \(byte 3\)"):
        read_text(path)
    for read in (read_yaml, read_json):
        with pytest.raises(UserError, match=r"f:2: not UTF-8 text \(byte 3\)"):
            read(path)
    for read in (read_text, read_yaml, read_json):
        with pytest.raises(UserError, match="/nowhere: No such file"):
            read(Path("/nowhere"))


def test_errors_show_what_a_terminal_would_obey() -> None:
    text = "\x1b[31m\x9b2J\u202e\u2028\ud800\r\t\x00"
    assert str(HatError(text)) == visible(text) == r"\x1b[31m\x9b2J\u202e\u2028\ud800\r\t\x00"
    kept = "می\u200cخواهم 👨\u200d👩\u200d👧 a\u00a0b 三\u3000"
    assert visible(kept) == kept
    assert str(UserError("a\nb")) == "a\nb"


def test_errors_are_bounded() -> None:
    assert len(readable("x" * 10**6)) < 2100
    lines = readable("\n".join(map(str, range(1000)))).splitlines()
    assert lines[-1] == "and 960 more lines"
    assert len(lines) == 41
