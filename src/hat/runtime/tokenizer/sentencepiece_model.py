"""A SentencePiece model, checked when it is loaded.

The file is a protocol buffer. Its normalisers replace characters by texts listed in it, and it names the text
of an unknown id: a file of some kilobytes must not turn a line into gigabytes.
"""

import struct
from pathlib import Path

import sentencepiece

from hat.characters import cleaned, known_joiners
from hat.errors import UserError
from hat.runtime.protocol_buffer import fields_of
from hat.tokens import BOS, EOS, PAD, SPECIAL_PIECES, UNK

# Limits: bytes that replace one character, of which NFKC needs 33 at most, and characters of a piece, which
# are 16 at most by the trainer's default.
LONGEST_REPLACEMENT = 256
LONGEST_PIECE = 4096
# Field numbers of a model and its parts: the text for unknown ids in the trainer's settings, and the rules of
# the two normalisers, for encoding and for decoding.
UNKNOWN, NORMALISERS = (2, 44), ((3, 2), (5, 2))


class SentencePieceModel:
    """The tokenizer of one language."""

    def __init__(self, path: Path) -> None:
        self._model = _load(path)
        self._joiners = known_joiners(lambda joiner: UNK not in self._model.encode(joiner))

    @property
    def size(self) -> int:
        return int(self._model.vocab_size())

    def encode(self, text: str) -> list[int]:
        return [int(token) for token in self._model.encode(cleaned(text, self._joiners))]

    def pieces(self, tokens: list[int]) -> list[str]:
        return [self._model.id_to_piece(token) for token in tokens]

    def decode(self, tokens: list[int]) -> str:
        try:
            return str(self._model.decode(tokens))
        except UnicodeDecodeError as error:  # from its text for <unk> or its denormalizing rules
            raise UserError("the tokenizer is damaged: what it decodes to is not UTF-8 text") from error


def _load(path: Path) -> sentencepiece.SentencePieceProcessor:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    model = sentencepiece.SentencePieceProcessor()
    try:
        # An empty file parses as an empty model, which only fails when it is used.
        loaded = bool(content) and model.LoadFromSerializedProto(content)
        if loaded:  # fails for pieces that are not UTF-8, which would go unnoticed until they are used
            pieces = model.id_to_piece(list(range(model.vocab_size())))
            _check_sizes(max(map(len, pieces), default=0), longest_replacement(content), path)
    except (RuntimeError, OSError, ValueError):  # ValueError: also for texts that are not UTF-8
        loaded = False
    if not loaded:
        raise UserError(f"{path}: not a SentencePiece model, or a damaged one")
    ids = (model.bos_id(), model.pad_id(), model.eos_id(), model.unk_id())
    if ids != (BOS, PAD, EOS, UNK):
        names = ", ".join(SPECIAL_PIECES)
        raise UserError(f"{path}: {names} have the ids {ids}; expected {(BOS, PAD, EOS, UNK)}")
    return model


def _check_sizes(piece: int, replacement: int, path: Path) -> None:
    """Raises UserError if a line may become more text than fits into memory."""
    if piece > LONGEST_PIECE or replacement > LONGEST_REPLACEMENT:
        raise UserError(
            f"{path}: a damaged SentencePiece model: it has a piece of {piece} characters, or makes "
            f"{replacement} bytes of one character; the most are {LONGEST_PIECE} and {LONGEST_REPLACEMENT}"
        )


def longest_replacement(model: bytes) -> int:
    """Length in bytes of the longest text that the serialized `model` makes of one character or unknown id.
    Raises ValueError if the bytes are no model."""
    longest = 0
    for number, message in fields_of(memoryview(model)):
        if number in (UNKNOWN[0], *(normaliser[0] for normaliser in NORMALISERS)):
            for inner, content in fields_of(message):
                if (number, inner) in NORMALISERS:
                    longest = max(longest, _longest_text(bytes(content)))
                elif (number, inner) == UNKNOWN:
                    longest = max(longest, len(content))
    return longest


def _longest_text(rules: bytes) -> int:
    """The longest text in a normaliser's rules: the size of a trie, the trie, and zero-terminated texts."""
    if len(rules) < 4:
        return 0
    (size,) = struct.unpack_from("<I", rules)
    return max(map(len, rules[4 + size :].split(b"\0")))
