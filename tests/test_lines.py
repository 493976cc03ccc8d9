"""Lines: what ends one, for every reader and for the writer."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hat.errors import UserError
from hat.files import read_json, read_text, read_yaml, write_text
from hat.lines import MAX_LINE_BYTES, as_line, decoded_lines, read_lines, split_lines, write_lines

# All that somebody takes for the end of a line.
ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
TEXTS = st.text(st.sampled_from(f"{ENDS}ab \0ü\ufeff"), max_size=20)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("\n", [""]),
        ("one\ntwo", ["one", "two"]),
        ("one\r\ntwo\r\n\r\n", ["one", "two", ""]),
        ("o\rne\r\r\ntwo\r", ["o\rne\r", "two\r"]),
        (f"a{ENDS[1:]}b\nc", [f"a{ENDS[1:]}b", "c"]),
    ],
)
def test_a_line_ends_at_a_newline_and_a_carriage_return_before_it_only(
    text: str, lines: list[str], tmp_path: Path
) -> None:
    assert split_lines(text) == lines
    assert list(decoded_lines(io.BytesIO(text.encode()).read, "x")) == lines
    (tmp_path / "x").write_bytes(text.encode())
    assert read_lines(tmp_path / "x") == lines


@given(TEXTS, st.integers(1, 5))
def test_every_reader_finds_the_same_lines_however_the_text_comes(text: str, step: int) -> None:
    stream = io.BytesIO(text.encode())
    assert list(decoded_lines(lambda size: stream.read(step), "x")) == split_lines(
        text.removeprefix("\ufeff")
    )


@given(st.lists(TEXTS))
def test_what_is_written_as_a_line_is_read_as_that_line(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "lines"
    write_lines(path, ["", *lines])  # whose first would lose a byte order mark
    assert read_lines(path)[1:] == [as_line(line) for line in lines]
    plain = [line for line in lines if "\n" not in line and not line.endswith("\r")]
    assert [as_line(line) for line in plain] == plain


def test_a_small_file_is_read_as_it_is_but_for_a_byte_order_mark(tmp_path: Path) -> None:
    for text in ("a\r\nb\rc\n", "\ufeff", ""):
        write_text(tmp_path / "x", text)
        assert (tmp_path / "x").read_bytes() == text.encode()
        assert read_text(tmp_path / "x") == text.removeprefix("\ufeff")
    (tmp_path / "x").write_bytes('\ufeff{"a": 1}'.encode())
    assert read_json(tmp_path / "x") == read_yaml(tmp_path / "x") == {"a": 1}


def test_invalid_bytes_are_told_with_their_line() -> None:
    with pytest.raises(UserError, match=r"^x:3: not UTF-8 text \(byte 2 of the line\)$"):
        list(decoded_lines(io.BytesIO(b"a\r\nb\nc\xff\n").read, "x"))
    assert list(decoded_lines(io.BytesIO(b"c\xff\n").read, "x", "replace")) == ["c\ufffd"]


def test_lines_before_one_that_is_too_long_are_given() -> None:
    found = decoded_lines(io.BytesIO(b"a\n" + b"b" * (MAX_LINE_BYTES + 1)).read, "x")
    assert next(found) == "a"
    with pytest.raises(UserError, match=r"^x:2: line over 1,048,576 bytes; expected one sentence a line$"):
        next(found)
