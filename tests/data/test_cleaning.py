"""The training pairs that are dropped; duplicates are recognised however far apart they stand."""

import random
from collections import Counter
from math import nan
from pathlib import Path

import pytest
from pydantic import ValidationError

from hat.data import Cleaning, cleaning
from hat.data.cleaning import keep_flags


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        (9, 9, None),
        (9, 4, None),
        (9, 3, "ratio"),
        (3, 9, "ratio"),
        (10, 9, "too_long"),
        (9, 10, "too_long"),
        (0, 9, "empty"),
        (9, 0, "empty"),
        (1, 3, None),
    ],
)
def test_verdict_counts_the_end_of_sentence(source: int, target: int, reason: str | None) -> None:
    limits = Cleaning(max_length=10, max_ratio=2)
    assert limits.verdict([5] * source, [5] * target) == reason


def test_keep_flags(tmp_path: Path) -> None:
    pairs = [("a", "b"), ("", "b"), ("a", "b"), ("a", ""), ("b", "a"), ("a", "b"), ("a", "c")]
    counts: Counter[str] = Counter()
    keep, size = keep_flags(pairs, tmp_path, counts)
    assert list(keep) == [1, 0, 0, 0, 1, 0, 1]
    assert size == 5 * len("a\nb")
    assert counts == {"read": 7, "empty": 2, "duplicate": 2}
    assert not list(tmp_path.iterdir())


def test_duplicates_across_flushes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaning, "FLUSH_EVERY", 100)
    rng = random.Random(1)
    pairs = [(str(rng.randrange(700)), str(rng.randrange(2))) for _ in range(2000)]
    counts: Counter[str] = Counter()
    keep, _ = keep_flags(pairs, tmp_path, counts)
    kept = [pair for pair, flag in zip(pairs, keep, strict=True) if flag]
    assert kept == list(dict.fromkeys(pairs))
    assert counts["duplicate"] == 2000 - len(kept)


def test_nothing_to_keep(tmp_path: Path) -> None:
    assert keep_flags([("", ""), ("a", "")], tmp_path, Counter()) == (bytearray(2), 0)


@pytest.mark.parametrize("wrong", [{"max_length": 1}, {"max_ratio": 0.5}, {"max_ratio": nan}])
def test_impossible_limits(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Cleaning.model_validate(wrong)
