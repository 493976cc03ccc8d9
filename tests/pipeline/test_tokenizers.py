"""Learning the published models' tokenizer, and that the device cuts text as training did."""

import random
from pathlib import Path
from typing import Any

import pytest

from hat import data
from hat.pipeline.text.tokenizers import learner, tokenizer_config
from hat.recipe.data import Data
from hat.runtime import Tokenizer
from tests.pipeline.tasks import WORDS

RNG = random.Random(0)
# The target side has a word that the source side lacks.
PAIRS = [
    (" ".join(RNG.choices(WORDS, k=6)) + ".", " ".join(RNG.choices([*WORDS, "zigzag"], k=6)) + "!")
    for _ in range(90)
]


def recipe(**vocabulary: Any) -> Data:
    return Data(corpus="builtin", vocabulary={"kind": "moses-bpe", "size": 30, **vocabulary})


@pytest.mark.parametrize("joint", [True, False])
def test_device_and_training_agree(tmp_path: Path, joint: bool) -> None:
    given = recipe(joint=joint)
    tokenizers = learner(given)(tmp_path, iter(PAIRS), data.Vocabulary(size=30, joint=joint))
    device = Tokenizer(tmp_path, tokenizer_config(given))
    assert (device.source_vocab, device.target_vocab) == (tokenizers.source.size, tokenizers.target.size)
    if not joint:
        sides = [(tmp_path / f"{side}.dict.txt").read_text() for side in ("source", "target")]
        assert ["z" in text for text in sides] == [False, True]
    for source, target in PAIRS[:20]:
        assert tokenizers.source.encode([source]) == [device.encode(source)]
        assert tokenizers.target.encode([target]) == [device.encode_target(target)]
        assert 3 not in device.encode(source)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == set(tokenizer_config(given).file_names())


@pytest.mark.parametrize("character", ["\u00ad", "\u2060", "\u200d", "\u200e", "\x02"])
def test_characters_without_meaning_leave_no_trace(tmp_path: Path, character: str) -> None:
    hidden = [tuple(side.replace("e", f"e{character}") for side in pair) for pair in PAIRS]
    for name, pairs in (("plain", PAIRS), ("hidden", hidden)):
        tokenizers = learner(recipe())(tmp_path / name, iter(pairs), data.Vocabulary(size=30))  # type: ignore[arg-type]
    for path in (tmp_path / "plain").iterdir():
        assert path.read_bytes() == (tmp_path / "hidden" / path.name).read_bytes()
    device = Tokenizer(tmp_path / "plain", tokenizer_config(recipe()))
    for (source, _), (odd, _) in zip(PAIRS[:9], hidden, strict=False):
        assert device.encode(odd) == device.encode(source) == tokenizers.source.encode([odd])[0]


def test_the_same_text_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        learner(recipe())(tmp_path / name, iter(PAIRS), data.Vocabulary(size=30))
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    counts = [int(line.split()[1]) for line in (tmp_path / "one/joint.dict.txt").read_text().splitlines()]
    assert counts == sorted(counts, reverse=True)
    # As many merges as asked for, and the version line.
    assert len((tmp_path / "one" / "codes.bpe").read_text().splitlines()) == 31


def test_sentencepiece_is_the_default() -> None:
    given = Data(corpus="builtin")
    assert learner(given) is data.train_tokenizers
    assert tokenizer_config(given).moses is None
    lower = tokenizer_config(recipe(lowercase=True, split_dashes=False)).moses
    assert lower is not None
    assert (lower.lowercase, lower.dash, lower.target_language) == (True, "", "de")
