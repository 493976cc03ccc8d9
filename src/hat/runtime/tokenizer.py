"""From text to ids and back, with the tokenizer that came with the model."""

from dataclasses import dataclass
from pathlib import Path

import sentencepiece

from hat.errors import UserError, shown
from hat.files import check_keys

BOS, PAD, EOS, UNK = 0, 1, 2, 3
SPACE = "▁"  # SentencePiece's mark of a word's beginning


@dataclass(frozen=True)
class TokenizerConfig:
    """`kind`: only "sentencepiece" so far. `joint`: one model for both sides, or one per side."""

    kind: str = "sentencepiece"
    joint: bool = True

    @classmethod
    def from_dict(cls, value: object, where: str) -> "TokenizerConfig":
        """Read strictly. Raises UserError."""
        keys = check_keys(value, ("kind", "joint"), where)
        if keys["kind"] != "sentencepiece":
            raise UserError(f"{where}.kind: {shown(keys['kind'])}; the choices are sentencepiece")
        if not isinstance(keys["joint"], bool):
            raise UserError(f"{where}.joint: {shown(keys['joint'])} is not true or false")
        return cls(keys["kind"], keys["joint"])

    def file_names(self) -> tuple[str, ...]:
        """The files of the tokenizer's folder, source side first."""
        return ("joint.model",) if self.joint else ("source.model", "target.model")


class Tokenizer:
    """SentencePiece for both sides of one model. Nothing changes in use, so threads may share it."""

    def __init__(self, folder: Path, config: TokenizerConfig) -> None:
        """Load from an artefact's `tokenizer` folder.

        Raises UserError for a missing or corrupt file, or one with other special ids than
        <s> 0, <pad> 1, </s> 2, <unk> 3.
        """
        sides = [_load(folder / name) for name in config.file_names()]
        self._source, self._target = sides[0], sides[-1]

    @property
    def source_vocab(self) -> int:
        """Number of source ids."""
        return int(self._source.vocab_size())

    @property
    def target_vocab(self) -> int:
        """Number of target ids."""
        return int(self._target.vocab_size())

    def encode(self, text: str, where: str = "text") -> list[int]:
        """Source ids of one sentence, without </s>. Raises UserError naming `where` for what is no text."""
        return _encode(self._source, text, where)

    def encode_target(self, text: str, where: str = "text") -> list[int]:
        """As `encode`, for the target side."""
        return _encode(self._target, text, where)

    def source_pieces(self, tokens: list[int]) -> list[str]:
        """The pieces of source ids; a word's first piece begins with SPACE."""
        return [self._source.id_to_piece(token) for token in tokens]

    def decode(self, tokens: list[int]) -> str:
        """The text of target ids; special ids leave no trace. Raises UserError for a damaged model."""
        try:
            return str(self._target.decode([token for token in tokens if token > EOS]))
        except UnicodeDecodeError as error:  # from its text for <unk> or its denormalizing rules
            raise UserError("the tokenizer is damaged: what it decodes is not UTF-8 text") from error

    def target_pieces(self, tokens: list[int]) -> list[str]:
        """The pieces of target ids."""
        return [self._target.id_to_piece(token) for token in tokens]


def _encode(model: sentencepiece.SentencePieceProcessor, text: object, where: str) -> list[int]:
    if not isinstance(text, str):
        raise UserError(f"{where}: expected text, not {type(text).__name__}")
    try:
        content = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(f"{where}: not Unicode text (character {error.start + 1})") from error
    return [int(token) for token in model.encode(content)]


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
            model.id_to_piece(list(range(model.vocab_size())))
    except (RuntimeError, OSError, UnicodeDecodeError):
        loaded = False
    if not loaded:
        raise UserError(f"{path}: not a SentencePiece model, or a damaged one")
    found = (model.bos_id(), model.pad_id(), model.eos_id(), model.unk_id())
    if found != (BOS, PAD, EOS, UNK):
        raise UserError(
            f"{path}: <s>, <pad>, </s>, <unk> have the ids {found}; expected {(BOS, PAD, EOS, UNK)}"
        )
    return model
