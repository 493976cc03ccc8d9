"""From parallel text to a folder that training reads: vocabulary, token stores, raw references."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from hat.data.cleaning import keep_flags
from hat.data.corpus import Pair, ParallelText, read_pairs
from hat.data.settings import REASONS, Cleaning, Vocabulary
from hat.data.store import SIDES, Chunk, TokenStore, write_store
from hat.data.tokenizer import Tokenizers, sample_pairs, train_tokenizers
from hat.disk import remove
from hat.errors import UserError
from hat.files import file_digest, write_json
from hat.lines import line_writer
from hat.progress import Progress, between, silent
from hat.sentences import split_sentences
from hat.threads import available_threads
from hat.tokens import UNK

# By characters, not by lines: a corpus of paragraphs must not take more memory.
CHUNK_CHARACTERS = 2_000_000
# The most text that a vocabulary is learnt from, drawn at random: SentencePiece holds all of it in memory. A
# pair has some 0.3 kB.
SAMPLE_PAIRS, SAMPLE_BYTES = 500_000, 150_000_000
SETS = ("train", "valid", "test")
QUANTILES = (10, 50, 90)
# Limits of a line that a model translates at once: the length of all but one in 10,000 of its training lines,
# and the number of sentences that at least one in 20 of these lines has.
LONGEST, SEVERAL = 0.9999, 0.05
# Called as learn(folder, pairs, vocabulary): writes its files to `folder`, the same bytes every time.
Learner = Callable[[Path, Iterable[Pair], Vocabulary], Tokenizers]


@dataclass(frozen=True)
class Corpora:
    """The parallel text of a run; every set may lie in several parts."""

    train: tuple[ParallelText, ...]
    valid: tuple[ParallelText, ...]
    test: tuple[ParallelText, ...]


def prepare(
    folder: Path,
    corpora: Corpora,
    *,
    vocabulary: Vocabulary,
    cleaning: Cleaning,
    seed: int,
    source_language: str = "und",
    learn: Learner = train_tokenizers,
    threads: int | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Make `folder` ready for training; equal input gives equal bytes.

    Writes `tokenizer/`, the token stores `train/`, `valid/` and `test/`, the raw text `valid.source.txt`,
    `valid.target.txt` and likewise for test, `lengths.json` and, last of all, `report.json`, which is also
    returned: a folder without it is unfinished. Only training text is cleaned. Memory grows by some 30 bytes
    for each pair (its lengths). `source_language`: the language by whose rules sentences are counted. `learn`
    makes the tokenizers. `threads` (all by default) changes only the time.

    Raises UserError for bad text (see `read_pairs`), an impossible vocabulary size, or if cleaning leaves no
    training pair.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").unlink(missing_ok=True)
    threads = threads or available_threads()
    for name in ("valid", "test"):
        _copy_text(folder, name, getattr(corpora, name))

    counts = Counter(dict.fromkeys(("read", "kept", *REASONS), 0))
    checking = between(progress, 0, 0.15, "checking ")
    keep, size = _find_keepers(folder, corpora.train, counts, checking)

    def pairs(stage: Progress) -> Iterator[Pair]:
        return compress(read_pairs(corpora.train, progress=stage), keep)

    def sample() -> Iterator[Pair]:
        reading, kept = pairs(between(progress, 0.15, 0.2, "sampling ")), sum(keep)
        most = min(SAMPLE_PAIRS, max(1, SAMPLE_BYTES * kept // size))
        yield from sample_pairs(reading, kept, most, seed)
        progress(0.2, 1, "learning the vocabulary")

    tokenizers = learn(folder / "tokenizer", sample(), vocabulary)

    sizes = (tokenizers.source.size, tokenizers.target.size)
    sentences: Counter[int] = Counter()
    reading = _counted(pairs(between(progress, 0.4, 1, "encoding ")), source_language, sentences)
    clean = _clean(_encode(reading, tokenizers, threads), cleaning, counts)
    stores = {"train": write_store(folder / "train", clean, sizes, counts)}
    for name in ("valid", "test"):
        text = read_pairs(getattr(corpora, name))
        stores[name] = write_store(folder / name, _encode(text, tokenizers, threads), sizes)

    report = _report(folder, stores, counts, sentences)
    write_json(folder / "lengths.json", report["lengths"])
    write_json(folder / "report.json", report)
    progress(1, 1, "prepared")
    return report


def typical_lengths(store: TokenStore) -> list[tuple[int, int]]:
    """Typical (source, target) lengths in tokens, </s> included, for measuring latency.

    One pair for each of QUANTILES of the source length: that length, and the median target length
    of the sentences that have it.
    """
    source, target = store.source_lengths + 1, store.target_lengths + 1
    typical = []
    for length in np.percentile(source, QUANTILES, method="nearest"):
        median = np.percentile(target[source == length], 50, method="nearest")
        typical.append((int(length), int(median)))
    return typical


def _counted(pairs: Iterable[Pair], language: str, sentences: Counter[int]) -> Iterator[Pair]:
    """The pairs unchanged; counts their source lines in `sentences` by number of sentences."""
    for pair in pairs:
        sentences[len(split_sentences(pair[0], language))] += 1
        yield pair


def _training_lines(train: TokenStore, sentences: Counter[int]) -> dict[str, int]:
    """The longest lines that a model of this text can translate at once (`hat.runtime.TrainingLines`)."""
    longest = np.quantile(train.source_lengths + 1, LONGEST, method="higher")
    enough = SEVERAL * sentences.total()
    usual = (count for count in sentences if sum(sentences[n] for n in sentences if n >= count) >= enough)
    return {"source_tokens": int(longest), "sentences": max(1, *usual)}


def _copy_text(folder: Path, name: str, parts: Sequence[ParallelText]) -> None:
    """Keep the raw text, which BLEU is measured on."""
    with ExitStack() as stack:
        writers = [stack.enter_context(line_writer(folder / f"{name}.{side}.txt")) for side in SIDES]
        for pair in read_pairs(parts, allow_empty=False):
            for write, sentence in zip(writers, pair, strict=True):
                write(sentence)


def _find_keepers(
    folder: Path, parts: Sequence[ParallelText], counts: Counter[str], progress: Progress
) -> tuple[bytearray, int]:
    work = folder / ".work"
    remove(work)
    work.mkdir()
    try:
        keep, size = keep_flags(read_pairs(parts, progress=progress), work, counts)
    finally:
        shutil.rmtree(work)
    if not any(keep):
        raise UserError(f"{parts[0].source}: no sentence pair with text on both sides")
    return keep, size


def _encode(pairs: Iterable[Pair], tokenizers: Tokenizers, threads: int) -> Iterator[Chunk]:
    for chunk in _chunks(pairs):
        sources, targets = zip(*chunk, strict=True)
        yield tokenizers.source.encode(sources, threads), tokenizers.target.encode(targets, threads)


def _chunks(pairs: Iterable[Pair]) -> Iterator[list[Pair]]:
    chunk, size = [], 0
    for pair in pairs:
        chunk.append(pair)
        size += len(pair[0]) + len(pair[1])
        if size >= CHUNK_CHARACTERS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _clean(chunks: Iterable[Chunk], cleaning: Cleaning, counts: Counter[str]) -> Iterator[Chunk]:
    for sources, targets in chunks:
        verdicts = [cleaning.verdict(*pair) for pair in zip(sources, targets, strict=True)]
        counts.update("kept" if verdict is None else verdict for verdict in verdicts)
        good = [verdict is None for verdict in verdicts]
        yield list(compress(sources, good)), list(compress(targets, good))
    if not counts["kept"]:
        dropped = ", ".join(f"{counts[reason]} {reason}" for reason in REASONS)
        problem = f"cleaning left none of {counts['read']} training pairs ({dropped})"
        raise UserError(f"{problem}; raise max_length or max_ratio")


def _report(
    folder: Path, stores: dict[str, TokenStore], counts: Counter[str], sentences: Counter[int]
) -> dict[str, Any]:
    models = sorted(path for path in (folder / "tokenizer").iterdir() if path.is_file())
    typical = [list(pair) for pair in typical_lengths(stores["train"])]
    return {
        "cleaning": dict(counts),
        "vocab": dict(zip(SIDES, stores["train"].vocab, strict=True)),
        "tokenizer": {model.name: file_digest(model) for model in models},
        "lengths": {"pairs": typical, "source_quantiles": list(QUANTILES)},
        **{name: _summary(store) for name, store in stores.items()},
        "unknown": {name: _unknown(stores[name]) for name in SETS},
        "training_lines": _training_lines(stores["train"], sentences),
    }


def _summary(store: TokenStore) -> dict[str, Any]:
    tokens = {"source_tokens": len(store.source_tokens), "target_tokens": len(store.target_tokens)}
    return {"digest": store.digest, "sentences": len(store), **tokens}


def _unknown(store: TokenStore) -> dict[str, dict[str, float]]:
    """For each side, the number of <unk> pieces and their share of all pieces."""
    shares = {}
    for side, tokens in zip(SIDES, (store.source_tokens, store.target_tokens), strict=True):
        unknown = int(np.count_nonzero(tokens == UNK))
        shares[side] = {"pieces": unknown, "share": unknown / max(1, len(tokens))}
    return shares
