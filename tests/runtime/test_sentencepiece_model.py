"""A tokenizer's file cannot make gigabytes of a line."""

import struct
from pathlib import Path

import pytest

from hat.errors import UserError
from hat.runtime import Tokenizer, TokenizerConfig
from hat.runtime.tokenizer.sentencepiece_model import LONGEST_PIECE, longest_replacement
from tests.runtime.protocol_buffers import changed_within, record, records_of
from tests.runtime.tiny_tokenizer import train_tokenizer


@pytest.fixture
def model(tmp_path: Path) -> bytes:
    train_tokenizer(tmp_path / "joint.model")
    return (tmp_path / "joint.model").read_bytes()


def load(folder: Path, content: bytes) -> Tokenizer:
    (folder / "joint.model").write_bytes(content)
    return Tokenizer(folder, TokenizerConfig())


def test_a_trained_model_replaces_by_a_few_bytes(tmp_path: Path, model: bytes) -> None:
    assert 3 < longest_replacement(model) < 40  # NFKC
    assert load(tmp_path, model).source_vocab == 50


def test_a_rule_that_makes_much_of_a_character_is_refused(tmp_path: Path, model: bytes) -> None:
    def longer(rules: bytes) -> bytes:
        (size,) = struct.unpack("<I", rules[:4])
        return rules[: 4 + size] + b"x" * 10_000 + rules[4 + size :]

    with pytest.raises(UserError, match=r"joint\.model: a damaged .* 100\d\d bytes of one"):
        load(tmp_path, changed_within(model, (3, 2), longer))


def test_a_long_text_for_the_unknown_is_refused(tmp_path: Path, model: bytes) -> None:
    training = record(2 << 3 | 2, record(44 << 3 | 2, b"y" * 1000))
    with pytest.raises(UserError, match="makes 1000 bytes of one character"):
        load(tmp_path, model + training)


def test_a_long_piece_is_refused(tmp_path: Path, model: bytes) -> None:
    records = list(records_of(model))
    tag, payload = records[10]  # a later field of the same number wins
    records[10] = tag, payload + record(1 << 3 | 2, b"z" * (LONGEST_PIECE + 1))
    with pytest.raises(UserError, match=f"a piece of {LONGEST_PIECE + 1} characters"):
        load(tmp_path, b"".join(record(*one) for one in records))


@pytest.mark.parametrize("content", [b"\x0a", b"\x0a\xff", b"\x0f", b"\x80"])
def test_what_is_no_protocol_buffer_is_told(content: bytes) -> None:
    with pytest.raises(ValueError, match="no protocol buffer"):
        longest_replacement(content)
