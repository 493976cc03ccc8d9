"""A SentencePiece model trained on four sentences."""

from collections.abc import Sequence
from pathlib import Path

import sentencepiece

VOCAB = 50
LINES = [
    "The small dog sleeps in the house.",
    "A big cat runs to the old tree.",
    "We saw the dog and the cat yesterday!",
    "Does the old house stand near a tree?",
]


def train_tokenizer(path: Path, lines: Sequence[str] = LINES, vocab_size: int = VOCAB, **ids: int) -> None:
    given = {"bos_id": 0, "pad_id": 1, "eos_id": 2, "unk_id": 3} | ids
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*lines] * 5),
        model_prefix=str(path.with_suffix("")),
        vocab_size=vocab_size,
        model_type="bpe",
        minloglevel=2,
        **given,
    )
