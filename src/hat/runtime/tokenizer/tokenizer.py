"""From text to ids and back, with the tokenizer that came with the model."""

from pathlib import Path
from typing import Protocol

from hat.errors import UserError
from hat.runtime.tokenizer.config import TokenizerConfig
from hat.runtime.tokenizer.moses_bpe import load_moses_bpe
from hat.runtime.tokenizer.sentencepiece_model import SentencePieceModel
from hat.tokens import EOS


class LanguageTokenizer(Protocol):
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
        """Source ids of one sentence, without </s>. Raises UserError naming `where` if `text` is not text."""
        return self._source.encode(_checked(text, where))

    def encode_target(self, text: str, where: str = "text") -> list[int]:
        """Like `encode`, for the target language."""
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


def _sides(folder: Path, config: TokenizerConfig) -> tuple[LanguageTokenizer, LanguageTokenizer]:
    if config.moses is not None:
        return load_moses_bpe(folder, config, config.moses)
    sides = [SentencePieceModel(folder / name) for name in config.file_names()]
    return sides[0], sides[-1]


def _checked(text: object, where: str) -> str:
    if not isinstance(text, str):
        raise UserError(f"{where}: expected text, not {type(text).__name__}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(f"{where}: not Unicode text (character {error.start + 1})") from error
    return text
