"""The difficulty of the built-in corpus: scores of translating its test set without understanding.

Two ways to cheat, each in several variants of which the best counts: copying the translation of
the nearest training sentence, and replacing each English word by its most likely German one.

    python benchmarks/corpus_difficulty.py [--train N] [--test N] [--seed N] [--output FILE]
"""

import json
import platform
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import sacrebleu.metrics.bleu
from scipy import sparse

from hat.data import BuiltinCorpus, generate
from hat.files import write_json
from reports import parser

BOUNDS = {"nearest neighbour": 60.0, "word by word": 40.0}
Sentences = list[list[str]]
_TOKEN = re.compile(r"[\w'-]+|[^\w\s]")
_ROWS = 100  # test sentences compared with all of train at once


def tokens(sentence: str) -> list[str]:
    """Lower-cased words and punctuation marks."""
    return _TOKEN.findall(sentence.lower())


def bleu(hypotheses: Sequence[str], references: Sequence[str]) -> tuple[float, str]:
    """SacreBLEU (cased, detokenised) and its signature."""
    metric = sacrebleu.metrics.bleu.BLEU()
    return metric.corpus_score(hypotheses, [references]).score, str(metric.get_signature())


# Nearest neighbours: for each test sentence the index of its nearest training sentence.


def _terms(sentence: list[str], order: int) -> list[str]:
    return [" ".join(sentence[i : i + n]) for n in range(1, order + 1) for i in range(len(sentence) - n + 1)]


def _counts(sentences: Sentences, order: int, ids: dict[str, int]) -> sparse.csr_matrix:
    pairs = [
        (row, ids.setdefault(term, len(ids)))
        for row, sentence in enumerate(sentences)
        for term in set(_terms(sentence, order))
    ]
    rows, columns = np.array(pairs).T
    return sparse.csr_matrix((np.ones(len(pairs), np.float32), (rows, columns)))


def _features(train: Sentences, test: Sentences, order: int) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """The terms of each sentence: two 0/1 matrices over one vocabulary."""
    ids: dict[str, int] = {}
    known, asked = _counts(train, order, ids), _counts(test, order, ids)
    known.resize(known.shape[0], len(ids))
    asked.resize(asked.shape[0], len(ids))
    return known, asked


def jaccard(train: Sentences, test: Sentences, order: int) -> np.ndarray:
    """By shared n-grams up to `order` over all n-grams of both."""
    known, asked = _features(train, test, order)
    known_sizes, asked_sizes = known.sum(1).A1, asked.sum(1).A1
    nearest = []
    for start in range(0, len(test), _ROWS):
        shared = (asked[start : start + _ROWS] @ known.T).toarray()
        union = asked_sizes[start : start + _ROWS, None] + known_sizes - shared
        nearest.append(np.argmax(shared / union, axis=1))
    return np.concatenate(nearest)


def tf_idf(train: Sentences, test: Sentences, order: int) -> np.ndarray:
    """By the cosine of tf-idf vectors over n-grams up to `order`."""
    known, asked = _features(train, test, order)
    weights = np.log((1 + len(train)) / (1 + known.sum(0).A1)) + 1
    known, asked = known.multiply(weights).tocsr(), asked.multiply(weights).tocsr()
    lengths = np.sqrt(known.multiply(known).sum(1).A1)
    parts = (asked[start : start + _ROWS] for start in range(0, len(test), _ROWS))
    return np.concatenate([((part @ known.T).toarray() / lengths).argmax(1) for part in parts])


def edit_distance(train: Sentences, test: Sentences) -> np.ndarray:
    """By Levenshtein distance in tokens, exactly, to every training sentence at once."""
    ids: dict[str, int] = {}
    longest = max(map(len, train))
    padded = np.zeros((longest, len(train)), np.int16)
    for column, sentence in enumerate(train):
        for row, token in enumerate(sentence):
            padded[row, column] = ids.setdefault(token, len(ids) + 1)
    lengths, columns = np.array([len(sentence) for sentence in train]), np.arange(len(train))
    nearest = []
    for sentence in test:
        above = np.repeat(np.arange(longest + 1, dtype=np.int8)[:, None], len(train), axis=1)
        for i, token in enumerate(sentence):
            substituted = above[:-1] + (padded != ids.get(token, 0))
            here = np.empty_like(above)
            here[0] = i + 1
            np.minimum(above[1:] + np.int8(1), substituted, out=here[1:])
            for j in range(longest):
                np.minimum(here[j + 1], here[j] + np.int8(1), out=here[j + 1])
            above = here
        nearest.append(int(above[lengths, columns].argmin()))
    return np.array(nearest)


NEAREST: dict[str, Callable[[Sentences, Sentences], np.ndarray]] = {
    "Jaccard of words": lambda train, test: jaccard(train, test, 1),
    "Jaccard of words and bigrams": lambda train, test: jaccard(train, test, 2),
    "tf-idf of words": lambda train, test: tf_idf(train, test, 1),
    "tf-idf of words and bigrams": lambda train, test: tf_idf(train, test, 2),
    "token edit distance": edit_distance,
}


# Word by word


class WordTable:
    """Translations of single words, learnt from sentence pairs."""

    def __init__(self, english: Sentences, german: Sentences) -> None:
        self.english: dict[str, int] = {"": 0}  # 0 is IBM model 1's empty word
        self.german: dict[str, int] = {}
        self.occurrences = Counter(word for sentence in english for word in sentence)
        left, right, owner = [], [], []
        for source, target in zip(english, german, strict=True):
            source_ids = [self.english.setdefault(word, len(self.english)) for word in source]
            for word in target:
                target_id = self.german.setdefault(word, len(self.german))
                left += [0, *source_ids]
                right += [target_id] * (len(source_ids) + 1)
                owner.append(len(source_ids) + 1)
        cells = np.array(left, np.int64) * len(self.german) + np.array(right, np.int64)
        self._cells, self._pair = np.unique(cells, return_inverse=True)
        self._starts = np.concatenate([[0], np.cumsum(owner)[:-1]])
        self._sizes = np.array(owner)

    def ibm1(self, iterations: int = 8) -> np.ndarray:
        """IBM model 1's p(German word | English word), English by German."""
        rows = self._cells // len(self.german)
        probability = np.ones(len(self._cells))
        for _ in range(iterations):
            each = probability[self._pair]
            share = each / np.repeat(np.add.reduceat(each, self._starts), self._sizes)
            counts = np.bincount(self._pair, share, len(self._cells))
            probability = counts / np.bincount(rows, counts)[rows]
        return self._table(probability)

    def dice(self) -> np.ndarray:
        """Twice the co-occurrences over the occurrences of both words, English by German."""
        together = self._table(np.bincount(self._pair).astype(float))
        english = np.array([self.occurrences[word] for word in self.english])
        german = together[0]  # the empty word stands beside every German one
        score: np.ndarray = 2 * together / (english[:, None] + german)
        return score

    def _table(self, values: np.ndarray) -> np.ndarray:
        table = np.zeros((len(self.english), len(self.german)))
        table.flat[self._cells] = values
        return table

    def translate(self, sentence: list[str], table: np.ndarray, least: float = 0) -> list[str]:
        """Each word's likeliest German one; none where that has less than `least`."""
        words = list(self.german)
        ids = [self.english[word] for word in sentence if word in self.english]
        return [words[table[i].argmax()] for i in ids if table[i].max() >= least]


def spell(words: list[str], capitals: dict[str, str]) -> str:
    """A sentence of lower-case words: usual capitals, first letter large, punctuation attached."""
    text = " ".join(capitals.get(word, word) for word in words)
    text = re.sub(r" ([.,?])", r"\1", text)
    return text[:1].upper() + text[1:]


def usual_capitals(sentences: Sequence[str]) -> dict[str, str]:
    """Each word as written inside a sentence (all German nouns are capitalised)."""
    inside = (word for sentence in sentences for word in _TOKEN.findall(sentence)[1:])
    return {word.lower(): word for word in inside}


# The report


def nearest_neighbour_scores(corpus: BuiltinCorpus) -> dict[str, float]:
    """BLEU of copying the nearest training sentence's translation, by similarity."""
    train = [tokens(english) for english, _ in corpus.train]
    test = [tokens(english) for english, _ in corpus.test]
    references = [german for _, german in corpus.test]
    return {
        name: bleu([corpus.train[i][1] for i in find(train, test)], references)[0]
        for name, find in NEAREST.items()
    }


def word_by_word_scores(corpus: BuiltinCorpus) -> dict[str, float]:
    """BLEU of replacing each word by its likeliest translation, by how that is learnt."""
    pairs = [(tokens(english), tokens(german)) for english, german in corpus.train]
    table = WordTable(*map(list, zip(*pairs, strict=True)))
    capitals = usual_capitals([german for _, german in corpus.train])
    ibm1, dice = table.ibm1(), table.dice()
    variants = {
        "IBM model 1": (ibm1, 0.0),
        "IBM model 1, leaving out words below 0.1": (ibm1, 0.1),
        "IBM model 1, leaving out words below 0.2": (ibm1, 0.2),
        "Dice coefficient": (dice, 0.0),
    }
    references = [german for _, german in corpus.test]
    sources = [tokens(english) for english, _ in corpus.test]
    return {
        name: bleu([spell(table.translate(words, *variant), capitals) for words in sources], references)[0]
        for name, variant in variants.items()
    }


def difficulty(corpus: BuiltinCorpus) -> dict[str, Any]:
    """All scores, the best of each kind, and the bound that it must keep."""
    by_kind = zip(BOUNDS, (nearest_neighbour_scores(corpus), word_by_word_scores(corpus)), strict=True)
    return {
        name: {"best": max(scores.values()), "bound": BOUNDS[name], "scores": scores}
        for name, scores in by_kind
    }


def main() -> None:
    line = parser(__doc__)
    line.add_argument("--train", type=int, default=100_000)
    line.add_argument("--test", type=int, default=1000)
    line.add_argument("--seed", type=int, default=1)
    line.add_argument("--output", type=Path, help="also write the JSON here")
    arguments = line.parse_args()
    started = time.monotonic()
    corpus = generate(arguments.seed, train=arguments.train, valid=1, test=arguments.test)
    report = {
        "corpus": {name: getattr(arguments, name) for name in ("seed", "train", "test")},
        **difficulty(corpus),
        "signature": bleu(["a"], ["a"])[1],
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "seconds": round(time.monotonic() - started),
    }
    print(json.dumps(report, indent=1))
    if arguments.output:
        write_json(arguments.output, report)
    for kind, bound in BOUNDS.items():
        print(f"\n{kind} (at most {bound:.0f} BLEU)", file=sys.stderr)
        for name, score in report[kind]["scores"].items():
            print(f"  {name:<42}{score:6.2f}", file=sys.stderr)


if __name__ == "__main__":
    main()
