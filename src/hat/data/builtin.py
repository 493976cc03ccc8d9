"""The built-in corpus: English–German sentences of a synchronous grammar, made on the spot."""

from pathlib import Path
from random import Random
from typing import NamedTuple

from hat.data.corpus import ParallelText
from hat.data.grammar.sampling import Sampler, held_out_combinations
from hat.data.preparation import Corpora
from hat.data.settings import BuiltinSizes
from hat.errors import UserError
from hat.lines import write_lines
from hat.progress import Progress, silent

SentencePair = tuple[str, str]  # English, German

# Draws per wanted sentence after which the grammar counts as exhausted; a held-out sentence needs about 8.
_PATIENCE = 40


class BuiltinCorpus(NamedTuple):
    """Disjoint on both sides: no English and no German sentence occurs twice.

    Every valid and test sentence contains a combination of words (verb and object, verb and
    place, adjective and noun, parts of a compound) that no training sentence contains, though
    both words do occur there with others.
    """

    train: list[SentencePair]
    valid: list[SentencePair]
    test: list[SentencePair]


def generate(seed: int, *, train: int, valid: int, test: int, progress: Progress = silent) -> BuiltinCorpus:
    """The corpus of this seed, with the given numbers of sentence pairs.

    Raises UserError if a count is negative or more than the grammar can give.
    """
    counts = {"train": train, "valid": valid, "test": test}
    for name, count in counts.items():
        if count < 0:
            raise UserError(f"built-in corpus: {name} must be at least 0, not {count}")
    sampler, held_out = Sampler(Random(seed)), held_out_combinations()
    corpus, wanted = BuiltinCorpus([], [], []), sum(counts.values())
    english_seen: set[str] = set()
    german_seen: set[str] = set()
    for _ in range(_PATIENCE * (wanted + 1000)):
        if len(english_seen) == wanted:
            return corpus
        sentence = sampler.sentence()
        if sentence.combinations.isdisjoint(held_out):
            part, size = corpus.train, train
        elif len(corpus.test) < test:
            part, size = corpus.test, test
        else:
            part, size = corpus.valid, valid
        english, german = sentence.english, sentence.german
        if len(part) < size and english not in english_seen and german not in german_seen:
            english_seen.add(english)
            german_seen.add(german)
            part.append((english, german))
            if len(english_seen) in (wanted, len(english_seen) // 5000 * 5000):
                progress(len(english_seen), wanted, "sentence pairs")
    raise UserError(f"built-in corpus: the grammar does not give {wanted} sentence pairs")


def write_builtin(folder: Path, sizes: BuiltinSizes, *, seed: int, progress: Progress = silent) -> Corpora:
    """Write {train,valid,test}.{en,de} into `folder`, a sentence a line, each file atomically.

    Raises UserError as `generate`.
    """
    corpus = generate(seed, **sizes.model_dump(), progress=progress)
    parts = {}
    for name, pairs in corpus._asdict().items():
        paths = [folder / f"{name}.{language}" for language in ("en", "de")]
        for side, path in enumerate(paths):
            write_lines(path, (pair[side] for pair in pairs))
        parts[name] = (ParallelText(paths[0], paths[1]),)
    return Corpora(**parts)
