"""From text to ids and back, with the tokenizer that came with the model."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import sentencepiece

from hat.characters import cleaned, known_joiners
from hat.errors import UserError, shown
from hat.files import check_keys
from hat.runtime.tokenizer.sentencepiece_file import LONGEST_PIECE, LONGEST_REPLACEMENT, longest_replacement
from hat.tokens import BOS, EOS, PAD, UNK

SPACE = "▁"  # SentencePiece's mark of a word's beginning
SENTENCEPIECE, MOSES_BPE = "sentencepiece", "moses-bpe"
KINDS = (SENTENCEPIECE, MOSES_BPE)


@dataclass(frozen=True)
class MosesOptions:
    """How Moses prepared the text that a model was trained on: what it translates is prepared alike.

    `normalise`: punctuation is unified first. `dash`: the token that stands between the parts of a
    compound (aggressive dash splitting: "@-@", or "##AT##-##AT##" as in the published WMT'14 En-De
    text); empty where compounds stay whole. `lowercase`: as in the published IWSLT'14 text.
    """

    source_language: str = "en"
    target_language: str = "en"
    normalise: bool = True
    dash: str = "@-@"
    lowercase: bool = False

    @classmethod
    def from_dict(cls, value: object, where: str) -> "MosesOptions":
        """Read strictly. Raises UserError."""
        keys = check_keys(value, [field.name for field in fields(cls)], where)
        for field in fields(cls):
            found = keys[field.name]
            if type(found) is not type(field.default):
                raise UserError(f"{where}.{field.name}: {shown(found)} is not like {field.default!r}")
        return cls(**keys)


@dataclass(frozen=True)
class TokenizerConfig:
    """`kind`: one of KINDS. `joint`: one vocabulary for both sides, or one per side. `moses`: of
    "moses-bpe" alone."""

    kind: str = SENTENCEPIECE
    joint: bool = True
    moses: MosesOptions | None = None

    @classmethod
    def from_dict(cls, value: object, where: str) -> "TokenizerConfig":
        """Read strictly. Raises UserError."""
        keys = check_keys(value, ("kind", "joint", "moses"), where, optional=("moses",))
        if keys["kind"] not in KINDS:
            raise UserError(f"{where}.kind: {shown(keys['kind'])}; the choices are {', '.join(KINDS)}")
        if not isinstance(keys["joint"], bool):
            raise UserError(f"{where}.joint: {shown(keys['joint'])} is not true or false")
        if ("moses" in keys) != (keys["kind"] == MOSES_BPE):
            raise UserError(f"{where}.moses: belongs to the kind {MOSES_BPE}, and to no other")
        moses = MosesOptions.from_dict(keys["moses"], f"{where}.moses") if "moses" in keys else None
        return cls(keys["kind"], keys["joint"], moses)

    def to_dict(self) -> Mapping[str, Any]:
        """What `from_dict` reads."""
        moses = {"moses": asdict(self.moses)} if self.moses else {}
        return {"kind": self.kind, "joint": self.joint, **moses}

    def file_names(self) -> tuple[str, ...]:
        """The files of the tokenizer's folder: one per side, source first, then what both share."""
        sides = ("joint",) if self.joint else ("source", "target")
        if self.kind == MOSES_BPE:
            return (*(f"{side}.dict.txt" for side in sides), "codes.bpe")
        return tuple(f"{side}.model" for side in sides)


class Side(Protocol):
    """The tokenizer of one language."""

    @property
    def size(self) -> int:
        """Number of ids."""

    def encode(self, text: str) -> list[int]:
        """Ids of one sentence of Unicode text, without </s>; characters that carry no meaning get no id."""

    def pieces(self, tokens: list[int]) -> list[str]:
        """The pieces of ids; a word's first piece begins with SPACE."""

    def decode(self, tokens: list[int]) -> str:
        """The text of ids above EOS. Raises UserError for a damaged model."""


class Tokenizer:
    """The tokenizers of both sides of one model. Nothing changes in use, so threads may share it."""

    def __init__(self, folder: Path, config: TokenizerConfig) -> None:
        """Load from an artefact's `tokenizer` folder.

        Raises UserError for a missing or corrupt file, one with other special ids than <s> 0,
        <pad> 1, </s> 2, <unk> 3, or where the packages that "moses-bpe" needs are not installed.
        """
        self._source, self._target = _sides(folder, config)

    @property
    def source_vocab(self) -> int:
        """Number of source ids."""
        return self._source.size

    @property
    def target_vocab(self) -> int:
        """Number of target ids."""
        return self._target.size

    def encode(self, text: str, where: str = "text") -> list[int]:
        """Source ids of one sentence, without </s>. Raises UserError naming `where` for what is no text."""
        return self._source.encode(_checked(text, where))

    def encode_target(self, text: str, where: str = "text") -> list[int]:
        """As `encode`, for the target side."""
        return self._target.encode(_checked(text, where))

    def source_pieces(self, tokens: list[int]) -> list[str]:
        """The pieces of source ids; a word's first piece begins with SPACE."""
        return self._source.pieces(tokens)

    def decode(self, tokens: list[int]) -> str:
        """The text of target ids; special ids leave no trace. Raises UserError for a damaged model."""
        return self._target.decode([token for token in tokens if token > EOS])

    def target_pieces(self, tokens: list[int]) -> list[str]:
        """The pieces of target ids."""
        return self._target.pieces(tokens)


def _sides(folder: Path, config: TokenizerConfig) -> tuple[Side, Side]:
    if config.moses is not None:
        from hat.runtime.tokenizer.moses_bpe import load_sides  # noqa: PLC0415 (only this kind needs its packages)

        return load_sides(folder, config, config.moses)
    sides = [_SentencePiece(folder / name) for name in config.file_names()]
    return sides[0], sides[-1]


def _checked(text: object, where: str) -> str:
    if not isinstance(text, str):
        raise UserError(f"{where}: expected text, not {type(text).__name__}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(f"{where}: not Unicode text (character {error.start + 1})") from error
    return text


class _SentencePiece:
    """One SentencePiece model."""

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
            raise UserError("the tokenizer is damaged: what it decodes is not UTF-8 text") from error


def _load(path: Path) -> sentencepiece.SentencePieceProcessor:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    model = sentencepiece.SentencePieceProcessor()
    try:
        # An empty file parses as an empty model, which only fails when it is used.
        loaded = bool(content) and model.LoadFromSerializedProto(content)
        if loaded:  # fails for pieces that are not UTF-8: nothing else looks before they are needed
            pieces = model.id_to_piece(list(range(model.vocab_size())))
            _check_sizes(max(map(len, pieces), default=0), longest_replacement(content), path)
    except (RuntimeError, OSError, ValueError):  # ValueError: also for texts that are not UTF-8
        loaded = False
    if not loaded:
        raise UserError(f"{path}: not a SentencePiece model, or a damaged one")
    found = (model.bos_id(), model.pad_id(), model.eos_id(), model.unk_id())
    if found != (BOS, PAD, EOS, UNK):
        raise UserError(
            f"{path}: <s>, <pad>, </s>, <unk> have the ids {found}; expected {(BOS, PAD, EOS, UNK)}"
        )
    return model


def _check_sizes(piece: int, replacement: int, path: Path) -> None:
    """Raises UserError if one id or character becomes so much text that a line of it would not fit into
    memory."""
    if piece > LONGEST_PIECE or replacement > LONGEST_REPLACEMENT:
        raise UserError(
            f"{path}: a damaged SentencePiece model: it has a piece of {piece} characters, or makes "
            f"{replacement} bytes of one character; the most are {LONGEST_PIECE} and {LONGEST_REPLACEMENT}"
        )
