"""Tokenizers of a model: SentencePiece, or Moses and BPE."""

from hat.runtime.tokenizer.config import (
    KINDS,
    MOSES_BPE,
    MOSES_DASH,
    SPACE,
    MosesOptions,
    TokenizerConfig,
)
from hat.runtime.tokenizer.moses_bpe import (
    Moses,
    MosesBpe,
    load_codes,
    load_moses_bpe,
    missing_package,
    read_dictionary,
    segment,
)
from hat.runtime.tokenizer.tokenizer import LanguageTokenizer, Tokenizer

__all__ = [
    "KINDS",
    "MOSES_BPE",
    "MOSES_DASH",
    "SPACE",
    "LanguageTokenizer",
    "Moses",
    "MosesBpe",
    "MosesOptions",
    "Tokenizer",
    "TokenizerConfig",
    "load_codes",
    "load_moses_bpe",
    "missing_package",
    "read_dictionary",
    "segment",
]
