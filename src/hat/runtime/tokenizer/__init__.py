"""Tokenizers of a model: SentencePiece, or Moses and BPE."""
