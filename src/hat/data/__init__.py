"""Corpora, tokenizers, memory-mapped token stores, batches by token budget."""

from hat.data.batches import Batch, collate, epoch_batches, sequential_batches, split
from hat.data.builtin import BuiltinCorpus, generate
from hat.data.corpus import Pair, ParallelText, read_pairs
from hat.data.preparation import Corpora, Learner, prepare, typical_lengths
from hat.data.settings import Cleaning, Vocabulary
from hat.data.soft_labels import SoftLabels
from hat.data.store import TokenStore, write_store
from hat.data.tokenizer import SentencePieceTokenizer, Tokenizers, train_tokenizers

__all__ = [
    "Batch",
    "BuiltinCorpus",
    "Cleaning",
    "Corpora",
    "Learner",
    "Pair",
    "ParallelText",
    "SentencePieceTokenizer",
    "SoftLabels",
    "TokenStore",
    "Tokenizers",
    "Vocabulary",
    "collate",
    "epoch_batches",
    "generate",
    "prepare",
    "read_pairs",
    "sequential_batches",
    "split",
    "train_tokenizers",
    "typical_lengths",
    "write_store",
]
