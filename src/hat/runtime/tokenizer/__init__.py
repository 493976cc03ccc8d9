"""Tokenizers of a model: SentencePiece, or Moses and BPE."""

from hat.runtime.tokenizer.config import MOSES_BPE, MOSES_DASH, MosesOptions, TokenizerConfig
from hat.runtime.tokenizer.moses_bpe import (
    Moses,
    load_codes,
    load_moses_bpe,
    missing_package,
    read_dictionary,
    segment,
)
from hat.runtime.tokenizer.tokenizer import LanguageTokenizer, Tokenizer

__all__ = [
    "MOSES_BPE",
    "MOSES_DASH",
    "LanguageTokenizer",
    "Moses",
    "MosesOptions",
    "Tokenizer",
    "TokenizerConfig",
    "load_codes",
    "load_moses_bpe",
    "missing_package",
    "read_dictionary",
    "segment",
]
