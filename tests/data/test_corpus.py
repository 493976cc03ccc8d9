"""Reading parallel text: what is accepted, and one clear line for everything that is not."""

import bz2
import errno
import gzip
import lzma
import os
import sys
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hat.data import ParallelText, read_pairs
from hat.errors import UserError
from hat.lines import MAX_LINE_BYTES
from tests.data.zstandard import zstandard

# Name → a file of that kind. The last four say nothing of their kind, or what is wrong.
KINDS: dict[str, Callable[[bytes], bytes]] = {
    "text": bytes,
    "text.gz": gzip.compress,
    "text.bz2": bz2.compress,
    "text.xz": lzma.compress,
    "text.zst": zstandard,
    "TEXT.GZ": gzip.compress,
    "text.en": bz2.compress,
    "text.txt": zstandard,
    "plain.gz": bytes,
}


def write(path: Path, content: bytes | str) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write(tmp_path / "good.de", "eins\nzwei\n")


def error_of(*parts: ParallelText, allow_empty: bool = True) -> str:
    with pytest.raises(UserError) as caught:
        list(read_pairs(parts, allow_empty))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", KINDS)
def test_two_files_of_any_kind(tmp_path: Path, good: Path, name: str) -> None:
    source = tmp_path / name
    source.write_bytes(KINDS[name]("one\ntwö\n".encode()))
    assert list(read_pairs([ParallelText(source, good)])) == [("one", "eins"), ("twö", "zwei")]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstandard])
def test_compressed_files_end_to_end_are_one(
    tmp_path: Path, good: Path, pack: Callable[[bytes], bytes]
) -> None:
    source = tmp_path / "source"
    source.write_bytes(pack(b"one\nt") + pack(b"wo\n"))
    assert list(read_pairs([ParallelText(source, good)])) == [("one", "eins"), ("two", "zwei")]


def test_text_that_begins_like_bzip2_is_text(tmp_path: Path, good: Path) -> None:
    source = write(tmp_path / "source", "BZh9 is no file\nBZh\n")
    assert list(read_pairs([ParallelText(source, good)])) == [("BZh9 is no file", "eins"), ("BZh", "zwei")]


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the standard library has them all")
def test_a_missing_package_is_named(tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    source.write_bytes(zstandard(b"one\ntwo\n"))
    monkeypatch.setitem(sys.modules, "backports", None)
    assert error_of(ParallelText(source, good)).startswith(
        f"{source}: compressed with zstd, which needs backports"
    )


@pytest.mark.parametrize("suffix", ["tsv", "tsv.gz"])
def test_tsv(tmp_path: Path, suffix: str) -> None:
    part = ParallelText(write(tmp_path / f"text.{suffix}", "one\teins\r\ntwo \tzwei \n\t\nfour\t"))
    expected = [("one", "eins"), ("two", "zwei"), ("", ""), ("four", "")]
    assert list(read_pairs([part])) == expected


def test_parts_follow_each_other_and_bytes_are_counted(tmp_path: Path, good: Path) -> None:
    seen: list[tuple[float, float]] = []
    long = write(tmp_path / "long.tsv", "a\tb\n" * 20_000)
    parts = [ParallelText(good, good), ParallelText(long), ParallelText(long)]
    pairs = list(read_pairs(parts, progress=lambda done, total, note: seen.append((done, total))))
    assert len(pairs) == 40_002
    assert {total for _, total in seen} == {good.stat().st_size + 2 * long.stat().st_size}
    assert seen == sorted(seen)
    assert len(seen) == 2


def test_only_newline_ends_a_line(tmp_path: Path) -> None:
    source = write(tmp_path / "a", "one\u2028still one\r\ntwo\x0bstill\rtwo\x85\n")
    target = write(tmp_path / "b", "eins\nzwei")
    assert list(read_pairs([ParallelText(source, target)])) == [
        ("one\u2028still one", "eins"),
        ("two\x0bstill\rtwo", "zwei"),
    ]


def test_byte_order_mark_and_trailing_space_go(tmp_path: Path, good: Path) -> None:
    source = write(tmp_path / "a", b"\xef\xbb\xbf one \r\ntwo\t \n")
    assert [source for source, _ in read_pairs([ParallelText(source, good)])] == [" one", "two"]


def test_missing_file(tmp_path: Path, good: Path) -> None:
    assert error_of(ParallelText(tmp_path / "no", good)) == (
        f"{tmp_path / 'no'}: cannot be read (No such file or directory)"
    )
    assert f"{tmp_path / 'no'}: cannot be read" in error_of(ParallelText(good, tmp_path / "no"))


def test_folder_instead_of_file(tmp_path: Path, good: Path) -> None:
    assert "cannot be read (Is a directory)" in error_of(ParallelText(tmp_path, good))


def test_unreadable_file(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root, who runs CI, may read everything
    assert error_of(ParallelText(good, good)) == f"{good}: cannot be read (Permission denied)"


def test_no_parts() -> None:
    assert "no parallel text" in error_of()


@pytest.mark.parametrize("name", ["empty", "empty.gz"])
def test_empty_file(tmp_path: Path, good: Path, name: str) -> None:
    empty = write(tmp_path / name, "")
    assert error_of(ParallelText(empty, good)) == f"{empty}: empty file"
    assert error_of(ParallelText(good, empty)) == f"{empty}: empty file"
    assert error_of(ParallelText(empty)) == f"{empty}: empty file"


def test_a_nul_is_left_out(tmp_path: Path, good: Path) -> None:
    source = write(tmp_path / "source", b"\x00one\nt\x00wo\x00\n")
    assert list(read_pairs([ParallelText(source, good)])) == [("one", "eins"), ("two", "zwei")]
    tsv = write(tmp_path / "tsv", b"o\x00ne\tei\x00ns\n")
    assert list(read_pairs([ParallelText(tsv)])) == [("one", "eins")]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstandard])
def test_a_damaged_beginning_of_a_further_stream_is_no_end(
    tmp_path: Path, good: Path, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "two"
    for damaged in (b"?" + pack(b"c\td\n")[1:], b"and this"):
        path.write_bytes(pack(b"a\tb\n") + damaged)
        with pytest.raises(UserError, match=r"damaged .* file"):
            list(read_pairs([ParallelText(path)]))


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_zeros_pad_compressed_streams(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "padded"
    path.write_bytes(pack(b"a\tb\n") + b"\0" * 8 + pack(b"c\td\n") + b"\0" * 70_000)
    assert list(read_pairs([ParallelText(path)])) == [("a", "b"), ("c", "d")]


@pytest.mark.parametrize(
    "columns", [(0, 1), (-1, 1), (1, 1), (1, 2, 3), ("1", "2"), (1.0, 2), 1, "12", (True, 2)]
)
def test_columns_that_cannot_be_meant(tmp_path: Path, columns: Any) -> None:
    with pytest.raises(UserError, match=r"^columns: "):
        ParallelText(tmp_path / "text.tsv", columns=columns)


@pytest.mark.parametrize("value", [5, b"text.tsv", ["text.tsv"]])
def test_a_part_is_named_by_paths(value: Any) -> None:
    with pytest.raises(UserError, match=r"^source: .* is not a path"):
        ParallelText(value)
    with pytest.raises(UserError, match=r"^target: .* is not a path"):
        ParallelText(Path("text.en"), value)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_an_archive_or_another_binary_file_is_no_text(
    tmp_path: Path, good: Path, pack: Callable[[bytes], bytes]
) -> None:
    entry = tarfile.TarInfo("source.en")
    entry.size = 8
    tar = entry.tobuf() + b"one\ntwo\n".ljust(512, b"\0") + b"\0" * 1024
    for content in (tar, "one\ntwo\n".encode("utf-32-le")):
        path = tmp_path / "source"
        path.write_bytes(pack(content))
        assert error_of(ParallelText(path, good)).startswith(f"{path}:1: NUL bytes; this is a binary file")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "latin-1"])
@pytest.mark.parametrize("text", ["one\nzwölf\n", "это текст\nпо-русски ö\n"])
def test_other_encodings(tmp_path: Path, good: Path, encoding: str, text: str) -> None:
    other = write(tmp_path / "other", text.encode(encoding, "ignore"))
    line, reason = (2, "not UTF-8 text (byte") if encoding == "latin-1" else (1, "")
    message = error_of(ParallelText(other, good))
    assert message.startswith(f"{other}:{line}: {reason}")
    assert ("this is UTF-16" in message) == (encoding != "latin-1")


@pytest.mark.parametrize("more", ["a\nb\nc\n", "a\n"])
def test_unequal_line_counts(tmp_path: Path, good: Path, more: str) -> None:
    other, count = write(tmp_path / "other", more), more.count("\n")
    tail = "parallel text needs equally many"
    assert error_of(ParallelText(other, good)) == f"{other} has {count} lines and {good} has 2; {tail}"
    assert error_of(ParallelText(good, other)) == f"{good} has 2 lines and {other} has {count}; {tail}"


@pytest.mark.parametrize(("line", "tabs"), [("one", 0), ("one\teins\tuno", 2), ("", 0)])
def test_tsv_needs_one_tab(tmp_path: Path, line: str, tabs: int) -> None:
    path = write(tmp_path / "t.tsv", f"a\tb\n{line}\n")
    assert error_of(ParallelText(path)).startswith(f"{path}:2: {tabs} tabs")
    assert "columns: [1, 2]" in error_of(ParallelText(path))


def test_two_columns_of_more(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tsv", "0.9\teins\tone\thttp://x\r\n0.8\tzwei\ttwo\r\n\t\t\n")
    assert list(read_pairs([ParallelText(path, columns=(3, 2))])) == [
        ("one", "eins"),
        ("two", "zwei"),
        ("", ""),
    ]
    part = ParallelText(path, columns=(2, 4))
    assert error_of(part) == f"{path}:2: 3 columns; columns: [2, 4] needs 4"


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstandard])
def test_damaged_files_are_told_in_a_line(tmp_path: Path, good: Path, pack: Callable[[bytes], bytes]) -> None:
    whole = pack(os.urandom(3000).hex().encode() + b"\n")
    middle = bytearray(whole)
    for position in range(len(whole) // 2, len(whole) // 2 + 4):
        middle[position] ^= 255
    for name, data in {"cut": whole[:-500], "flipped": bytes(middle), "head": whole[:12]}.items():
        path = tmp_path / name
        path.write_bytes(data)
        assert error_of(ParallelText(path, good)).startswith(f"{path}: damaged ")


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard])
def test_a_line_without_end_is_refused_before_it_is_held(
    tmp_path: Path, good: Path, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "endless"
    path.write_bytes(pack(b"one\n" + b"a" * (64 * MAX_LINE_BYTES)))
    tracemalloc.start()
    try:
        assert error_of(ParallelText(path, good)).startswith(f"{path}:2: line over 1,048,576 bytes")
        assert tracemalloc.get_traced_memory()[1] < 16 * MAX_LINE_BYTES
    finally:
        tracemalloc.stop()


def test_a_line_may_be_as_long_as_the_most(tmp_path: Path, good: Path) -> None:
    source = write(tmp_path / "long", "a" * MAX_LINE_BYTES + "\ntwo")
    assert [len(source) for source, _ in read_pairs([ParallelText(source, good)])] == [MAX_LINE_BYTES, 3]


def test_empty_sentences_may_be_refused(tmp_path: Path, good: Path) -> None:
    other = write(tmp_path / "other", "one\n \n")
    assert error_of(ParallelText(other, good), allow_empty=False).startswith(f"{other}:2: empty sentence")
    assert error_of(ParallelText(good, other), allow_empty=False).startswith(f"{other}:2: empty sentence")
    assert list(read_pairs([ParallelText(other, good)])) == [("one", "eins"), ("", "zwei")]


def test_parts_may_be_named_by_strings_but_come_in_a_list(tmp_path: Path) -> None:
    for side in ("source", "target"):
        (tmp_path / side).write_text("a\n", "utf-8")
    part = ParallelText(str(tmp_path / "source"), str(tmp_path / "target"))  # type: ignore[arg-type]
    assert list(read_pairs([part])) == [("a", "a")]
    for parts in (part, str(tmp_path / "source")):
        with pytest.raises(UserError, match="parts: expected a list of ParallelText, not"):
            list(read_pairs(parts))  # type: ignore[arg-type]
