"""A small corpus with a little of everything that preparation must cope with."""

import random
from pathlib import Path

import pytest

from hat.data import Corpora, ParallelText

WORDS = (
    "Haus",
    "Baum",
    "grün",
    "läuft",
    "schnell",
    "über",
    "nicht",
    "weil",
    "Straße",
    "zwölf",
    "Tür",
)


def random_pairs(count: int, seed: int) -> list[tuple[str, str]]:
    rng = random.Random(seed)
    sentences = [" ".join(rng.choices(WORDS, k=rng.randint(4, 9))) for _ in range(count)]
    return [(sentence.lower(), sentence[::-1]) for sentence in sentences]


@pytest.fixture(scope="session")
def pairs() -> list[tuple[str, str]]:
    return random_pairs(200, 1)


@pytest.fixture
def corpora(tmp_path: Path) -> Corpora:
    sets = {
        "train": random_pairs(300, 1),
        "valid": random_pairs(20, 2),
        "test": random_pairs(21, 3),
    }
    # An empty one, an exact duplicate, one too long and one misaligned.
    sets["train"] += [
        ("", "x"),
        sets["train"][0],
        ("haus " * 300, "Haus " * 300),
        ("haus", "Tür " * 20),
    ]
    parts = {}
    for name, pairs in sets.items():
        path = tmp_path / f"{name}.tsv"
        path.write_text("".join(f"{source}\t{target}\n" for source, target in pairs))
        parts[name] = (ParallelText(path),)
    return Corpora(**parts)
