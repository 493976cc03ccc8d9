"""Moses + BPE, the published models' tokenizer."""

import sys
from pathlib import Path
from typing import Any

import pytest

from hat.errors import UserError
from hat.runtime import MosesOptions, Tokenizer, TokenizerConfig
from hat.runtime.tokenizer import load_codes, read_dictionary
from tests.runtime.tiny_bpe import LINES, train_bpe

CONFIG = TokenizerConfig("moses-bpe", True, MosesOptions())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    train_bpe(tmp_path)
    return tmp_path


@pytest.mark.parametrize("dash", ["@-@", "##AT##-##AT##", ""])
def test_text_comes_back(tmp_path: Path, dash: str) -> None:
    options = MosesOptions(dash=dash)
    train_bpe(tmp_path, options=options)
    tokenizer = Tokenizer(tmp_path, TokenizerConfig("moses-bpe", True, options))
    for line in LINES:
        ids = tokenizer.encode(line)
        assert 3 not in ids, tokenizer.source_pieces(ids)
        assert tokenizer.decode(ids) == line
    marked = "".join(tokenizer.source_pieces(tokenizer.encode(LINES[0])))
    assert (f"▁well▁{dash}▁known" if dash else "▁well-known") in marked


def test_pieces_are_those_of_the_published_tools(folder: Path) -> None:
    tokenizer = Tokenizer(folder, CONFIG)
    by_id = ["<s>", "<pad>", "</s>", "<unk>"]
    by_id += [line.split()[0] for line in (folder / "joint.dict.txt").read_text().splitlines()]
    ids = tokenizer.encode("The tale dog.")  # a word that was not seen, of pieces that were
    joined = " ".join(by_id[token] for token in ids)
    assert "@@ " in joined
    assert joined.replace("@@ ", "") == "The tale dog ."
    marked = tokenizer.source_pieces(ids)
    assert "".join(marked) == "▁The▁tale▁dog▁."
    assert len(marked) == len(ids)


def test_what_was_not_seen_is_unknown(folder: Path) -> None:
    tokenizer = Tokenizer(folder, CONFIG)
    assert tokenizer.encode("猫") == [3]
    assert tokenizer.decode([3, 2, 0]) == "<unk>"
    assert tokenizer.encode("  ") == []
    # A hypothesis may end within a word.
    ids = tokenizer.encode("tale")
    last = tokenizer.source_pieces(ids)[-1]
    assert tokenizer.decode(ids[:-1]) == "tale".removesuffix(last)


def test_lowercase_and_punctuation(tmp_path: Path) -> None:
    options = MosesOptions(dash="", lowercase=True)
    train_bpe(tmp_path, options=options)
    tokenizer = Tokenizer(tmp_path, TokenizerConfig("moses-bpe", True, options))
    assert tokenizer.decode(tokenizer.encode("THE “Dog” runs")) == 'the "dog" runs'
    raw = TokenizerConfig("moses-bpe", True, MosesOptions(normalise=False))
    assert 3 in Tokenizer(tmp_path, raw).encode("“Dog”")


def test_one_dictionary_per_side(tmp_path: Path) -> None:
    train_bpe(tmp_path, ("source.dict.txt", "target.dict.txt"))
    with (tmp_path / "target.dict.txt").open("a") as stream:
        stream.write("Katze 1\n")
    tokenizer = Tokenizer(tmp_path, TokenizerConfig("moses-bpe", False, MosesOptions("en", "de")))
    assert tokenizer.target_vocab == tokenizer.source_vocab + 1
    assert tokenizer.decode([tokenizer.source_vocab]) == "Katze"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("joint.dict.txt", "a 1\nb\n", r"dict\.txt:2: 'b' is not a piece, a space and its count"),
        ("joint.dict.txt", "a 1\na 2\n", r"dict\.txt:2: 'a' is there twice"),
        ("joint.dict.txt", "</s> 1\n", r"dict\.txt:1: '</s>' is there twice"),
        ("joint.dict.txt", "", r"dict\.txt:1: '' is not a piece"),
        ("codes.bpe", "#version: 0.2\na b\na b c\n", r"codes\.bpe:3: 'a b c' is not a merge"),
        ("codes.bpe", "#version: 0.9\na b\n", r"codes\.bpe:1: .* the versions known are"),
        ("codes.bpe", None, r"codes\.bpe: No such file"),
    ],
)
def test_damaged_files_are_refused(folder: Path, name: str, content: str | None, message: str) -> None:
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(UserError, match=message):
        Tokenizer(folder, CONFIG)


def test_line_ends_a_byte_order_mark_and_blank_lines_at_the_end_do_not_matter(folder: Path) -> None:
    pieces = read_dictionary(folder / "joint.dict.txt")
    codec = load_codes(folder / "codes.bpe")
    for path in (folder / "joint.dict.txt", folder / "codes.bpe"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n\r\n")
    assert read_dictionary(folder / "joint.dict.txt") == pieces
    assert load_codes(folder / "codes.bpe").bpe_codes == codec.bpe_codes


def test_a_piece_holds_whatever_ends_no_line(folder: Path) -> None:
    (folder / "joint.dict.txt").write_bytes("a\u2028b 2\nc\rd 1\n\x85 1\n".encode())
    assert read_dictionary(folder / "joint.dict.txt")[4:] == ["a\u2028b", "c\rd", "\x85"]


@pytest.mark.parametrize("package", ["sacremoses", "subword_nmt"])
def test_missing_packages_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Absent(package), *sys.meta_path])
    with pytest.raises(UserError, match=rf"needs {package}.*: pip install sacremoses subword-nmt$"):
        Tokenizer(folder, CONFIG)


class _Absent:
    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=self.package)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"kind": "words", "joint": True}, "'words'; the choices are sentencepiece, moses-bpe"),
        ({"kind": "moses-bpe", "joint": True}, "moses: belongs to the kind moses-bpe"),
        ({"kind": "sentencepiece", "joint": True, "moses": {}}, "moses: belongs to the kind moses-bpe"),
        ({"kind": "moses-bpe", "joint": True, "moses": {"dash": 1}}, "missing key source_language"),
        (
            {**CONFIG.to_dict(), "moses": {**CONFIG.to_dict()["moses"], "lowercase": 1}},
            "lowercase: 1 is not like False",
        ),
    ],
)
def test_configurations_are_read_strictly(value: dict[str, Any], message: str) -> None:
    assert TokenizerConfig.from_dict(CONFIG.to_dict(), "c") == CONFIG
    with pytest.raises(UserError, match=message):
        TokenizerConfig.from_dict(value, "c")
