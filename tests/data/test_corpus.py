"""Reading parallel text: what is accepted, and one clear line for everything that is not."""

import errno
import gzip
import os
from pathlib import Path

import pytest

from hat.data import Part, read_lines, read_pairs
from hat.data.corpus import MAX_LINE_BYTES
from hat.errors import UserError


def write(path: Path, content: bytes | str) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write(tmp_path / "good.de", "eins\nzwei\n")


def error_of(*parts: Part, allow_empty: bool = True) -> str:
    with pytest.raises(UserError) as caught:
        list(read_pairs(parts, allow_empty))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", ["en", "en.gz"])
def test_two_files(tmp_path: Path, good: Path, suffix: str) -> None:
    source = write(tmp_path / f"text.{suffix}", "one\ntwo\n")
    assert list(read_pairs([Part(source, good)])) == [("one", "eins"), ("two", "zwei")]


@pytest.mark.parametrize("suffix", ["tsv", "tsv.gz"])
def test_tsv(tmp_path: Path, suffix: str) -> None:
    part = Part(write(tmp_path / f"text.{suffix}", "one\teins\r\ntwo \tzwei \n\t\nfour\t"))
    expected = [("one", "eins"), ("two", "zwei"), ("", ""), ("four", "")]
    assert list(read_pairs([part])) == expected


def test_parts_follow_each_other_and_bytes_are_counted(tmp_path: Path, good: Path) -> None:
    seen: list[tuple[float, float]] = []
    long = write(tmp_path / "long.tsv", "a\tb\n" * 20_000)
    parts = [Part(good, good), Part(long), Part(long)]
    pairs = list(read_pairs(parts, progress=lambda done, total, note: seen.append((done, total))))
    assert len(pairs) == 40_002
    assert {total for _, total in seen} == {good.stat().st_size + 2 * long.stat().st_size}
    assert seen == sorted(seen)
    assert len(seen) == 2


def test_only_newline_ends_a_line(tmp_path: Path) -> None:
    source = write(tmp_path / "a", "one\u2028still one\ntwo\x0bstill\rtwo\x85\n")
    target = write(tmp_path / "b", "eins\nzwei")
    assert list(read_pairs([Part(source, target)])) == [
        ("one\u2028still one", "eins"),
        ("two\x0bstill\rtwo", "zwei"),
    ]


def test_byte_order_mark_and_trailing_space_go(tmp_path: Path, good: Path) -> None:
    source = write(tmp_path / "a", b"\xef\xbb\xbf one \r\ntwo\t \n")
    assert [source for source, _ in read_pairs([Part(source, good)])] == [" one", "two"]
    assert read_lines(source) == [" one", "two"]


def test_missing_file(tmp_path: Path, good: Path) -> None:
    assert error_of(Part(tmp_path / "no", good)) == (
        f"{tmp_path / 'no'}: cannot be read (No such file or directory)"
    )
    assert f"{tmp_path / 'no'}: cannot be read" in error_of(Part(good, tmp_path / "no"))


def test_folder_instead_of_file(tmp_path: Path, good: Path) -> None:
    assert "cannot be read (Is a directory)" in error_of(Part(tmp_path, good))


def test_unreadable_file(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root, who runs CI, may read everything
    assert error_of(Part(good, good)) == f"{good}: cannot be read (Permission denied)"


def test_no_parts() -> None:
    assert "no parallel text" in error_of()


@pytest.mark.parametrize("name", ["empty", "empty.gz"])
def test_empty_file(tmp_path: Path, good: Path, name: str) -> None:
    empty = write(tmp_path / name, "")
    assert error_of(Part(empty, good)) == f"{empty}: empty file"
    assert error_of(Part(good, empty)) == f"{empty}: empty file"
    assert error_of(Part(empty)) == f"{empty}: empty file"


def test_binary_file(tmp_path: Path, good: Path) -> None:
    binary = write(tmp_path / "binary", b"one\nt\x00wo\n")
    assert error_of(Part(binary, good)).startswith(f"{binary}:2: NUL byte; this is a binary file")


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_other_encodings(tmp_path: Path, good: Path, encoding: str) -> None:
    other = write(tmp_path / "other", "one\nzwölf\n".encode(encoding))
    line = 1 if encoding == "utf-16" else 2
    assert error_of(Part(other, good)).startswith(f"{other}:{line}: ")


@pytest.mark.parametrize("more", ["a\nb\nc\n", "a\n"])
def test_unequal_line_counts(tmp_path: Path, good: Path, more: str) -> None:
    other, count = write(tmp_path / "other", more), more.count("\n")
    tail = "parallel text needs equally many"
    assert error_of(Part(other, good)) == f"{other} has {count} lines and {good} has 2; {tail}"
    assert error_of(Part(good, other)) == f"{good} has 2 lines and {other} has {count}; {tail}"


@pytest.mark.parametrize(("line", "tabs"), [("one", 0), ("one\teins\tuno", 2), ("", 0)])
def test_tsv_needs_one_tab(tmp_path: Path, line: str, tabs: int) -> None:
    path = write(tmp_path / "t.tsv", f"a\tb\n{line}\n")
    assert error_of(Part(path)).startswith(f"{path}:2: {tabs} tabs")


def test_broken_gzip(tmp_path: Path, good: Path) -> None:
    whole = gzip.compress(os.urandom(3000).hex().encode() + b"\n")
    middle = bytearray(whole)
    middle[len(whole) // 2] ^= 255
    for name, data in {"cut": whole[:-500], "flipped": bytes(middle), "plain": b"one\n"}.items():
        path = tmp_path / f"{name}.gz"
        path.write_bytes(data)
        assert error_of(Part(path, good)).startswith(f"{path}: ")


def test_endless_line(tmp_path: Path, good: Path) -> None:
    path = write(tmp_path / "endless", "a" * (MAX_LINE_BYTES + 1))
    assert error_of(Part(path, good)).startswith(f"{path}:1: line over")


def test_empty_sentences_may_be_refused(tmp_path: Path, good: Path) -> None:
    other = write(tmp_path / "other", "one\n \n")
    assert error_of(Part(other, good), allow_empty=False).startswith(f"{other}:2: empty sentence")
    assert error_of(Part(good, other), allow_empty=False).startswith(f"{other}:2: empty sentence")
    assert list(read_pairs([Part(other, good)])) == [("one", "eins"), ("", "zwei")]
