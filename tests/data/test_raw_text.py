"""Published corpora's files, with their markup, as parallel text."""

import gzip
import lzma
from contextlib import nullcontext
from pathlib import Path

import pytest

from hat.data.raw_text import SETS, RawText, read_raw, set_files, write_sets
from hat.errors import UserError
from hat.lines import MAX_LINE_BYTES
from tests.data.zstandard import zstandard

SEGMENTS = """<srcset setid="t" srclang="any">
<doc docid="1"><p>
<seg id="1"> One &amp; two. </seg>
<seg id="2">Three.</seg>
</p></doc></srcset>
"""
TAGS = """<url>http://x</url>
<keywords>a, b</keywords>
<speaker>S</speaker>
<talkid>1</talkid>
<title>The title</title>
<description>TED: about it</description>
 First.
"""


def text(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    raw = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


def test_plain_files(tmp_path: Path) -> None:
    source = text(tmp_path, "a.en.gz", "one\r\n t\x00wo \x00\n\u2028x\ry\n")
    target = text(tmp_path, "a.de", b"\xef\xbb\xbfeins\nzw\xffei\n drei")
    assert list(read_raw(RawText(source, target))) == [
        ("one", "eins"),
        ("two", "zw\ufffdei"),
        ("x\ry", "drei"),
    ]


def test_compressed_files_need_no_suffix(tmp_path: Path) -> None:
    source = text(tmp_path, "source", lzma.compress(b"one\ntwo\n"))
    target = text(tmp_path, "target", zstandard(b"eins\nzwei\n"))
    assert list(read_raw(RawText(source, target))) == [("one", "eins"), ("two", "zwei")]


def test_segments_and_tags(tmp_path: Path) -> None:
    one = text(tmp_path, "t.sgm", SEGMENTS)
    other = text(tmp_path, "t.xml", SEGMENTS.replace("Three", "Drei"))
    assert list(read_raw(RawText(one, other, markup="segments"))) == [
        ("One & two.", "One & two."),
        ("Three.", "Drei."),
    ]
    tags = text(tmp_path, "train.tags", TAGS)
    assert [pair[0] for pair in read_raw(RawText(tags, tags, markup="tags"))] == [
        "The title",
        "TED: about it",
        "First.",
    ]


def test_a_sentence_stays_one_whatever_its_markup_stands_for(tmp_path: Path) -> None:
    marked = text(
        tmp_path, "a.sgm", '<seg id="1">One&#10;two&NewLine;three&#13;</seg><SEG ID="2">Four.</SEG>'
    )
    part = RawText(marked, marked, markup="segments")
    assert [source for source, _ in read_raw(part)] == ["One two three", "Four."]
    write_sets(tmp_path, {"train": [part], "valid": [part], "test": [part]})
    assert (tmp_path / "test.source.txt").read_bytes() == b"One two three\nFour.\n"
    tags = text(tmp_path, "train.tags", "One&#10;two\n")
    assert list(read_raw(RawText(tags, tags, markup="tags"))) == [("One two", "One two")]


def test_a_character_of_thousands_of_digits_is_refused(tmp_path: Path) -> None:
    path = text(tmp_path, "tags", f"one\n&#{'1' * 5000};\n")
    with pytest.raises(UserError, match="tags:2: a character reference of thousands of digits"):
        list(read_raw(RawText(path, path, markup="tags")))


def test_a_segment_ends_on_its_line(tmp_path: Path) -> None:
    path = text(tmp_path, "a.sgm", '<doc>\n<seg id="1">One\n</seg>\n')
    with pytest.raises(UserError, match=r"a\.sgm:2: a <seg> that does not end on its line"):
        list(read_raw(RawText(path, path, markup="segments")))


@pytest.mark.parametrize("hostile", ["<seg id=1>" + " " * 900_000, "<seg id=" * 120_000])
def test_a_hostile_line_takes_no_longer_than_another(tmp_path: Path, hostile: str) -> None:
    path = text(tmp_path, "a.sgm", f"{hostile}\n")  # hours, where every place is looked at from every other
    part = RawText(path, path, markup="segments")
    with nullcontext() if "id=1" not in hostile else pytest.raises(UserError, match="does not end"):
        assert list(read_raw(part)) == []


def test_a_line_without_end_is_refused(tmp_path: Path) -> None:
    path = text(tmp_path, "a.gz", b"one\n" + b"a" * (2 * MAX_LINE_BYTES))
    with pytest.raises(UserError, match=r"a\.gz:2: line over"):
        list(read_raw(RawText(path, path)))


def test_columns(tmp_path: Path) -> None:
    path = text(tmp_path, "a.tsv.gz", "eins\tone\t0.5\nzwei\ndrei\tthree\t\n")
    part = RawText(path, columns=(2, 1))
    assert list(read_raw(part)) == [("one", "eins"), ("three", "drei")]
    told: list[str] = []
    write_sets(tmp_path, {name: [part] for name in SETS}, say=told.append)
    assert told == ["a.tsv.gz: rows without columns 2 and 1 are left out: 1"] * 3


def test_sets(tmp_path: Path) -> None:
    lines = "".join(f"{number}\n" for number in range(1, 8))
    holed = lines.replace("6\n", "\n")
    train = RawText(text(tmp_path, "a", lines), text(tmp_path, "b", holed))
    test = RawText(text(tmp_path, "c", "x\n"), text(tmp_path, "d", "y\n"))
    counts = write_sets(tmp_path, {"train": [train, train], "test": [test]}, valid_every=3)
    # Of 14 pairs the 3rd, 6th, 9th and 12th; the 6th has no target side.
    assert counts == {"train": 11, "valid": 3, "test": 1}
    assert (tmp_path / "valid.source.txt").read_text() == "3\n2\n5\n"
    assert (tmp_path / "train.target.txt").read_text() == "1\n2\n4\n5\n\n7\n1\n3\n4\n\n7\n"
    sides = [(tmp_path / file).read_text().count("\n") for file in set_files("train")]
    assert sides == [11, 11]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("one\n", r"b: ends after 1 sentences"),
        ("1\n2\n3\n", "a: ends after 2 sentences"),
        (None, "test: no sen"),
    ],
)
def test_what_cannot_be_right_leaves_nothing(tmp_path: Path, target: str | None, message: str) -> None:
    source = text(tmp_path, "a", "1\n2\n")
    train = RawText(source, text(tmp_path, "b", "1\n2\n" if target is None else target))
    with pytest.raises(UserError, match=message):
        write_sets(tmp_path / "out", {"train": [train], "valid": [train], "test": []})
    assert not list((tmp_path / "out").glob("*.txt"))


def test_damaged_gzip(tmp_path: Path) -> None:
    path = text(tmp_path, "a.gz", "one\n" * 1000)
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(UserError, match=r"a\.gz: damaged gzip file"):
        list(read_raw(RawText(path, path)))
