"""Vocabularies: special ids, repeatable bytes, sizes that cannot be, models that are none."""

import hashlib
from pathlib import Path

import pytest
import sentencepiece
from pydantic import ValidationError

from hat import runtime
from hat.data import SentencePieceTokenizer, Tokenizers, Vocabulary
from hat.data.tokenizer import sample_pairs, train_tokenizers
from hat.errors import HatError, UserError

Pairs = list[tuple[str, str]]


def contents(folder: Path) -> dict[str, str]:
    files = sorted(folder.iterdir())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("joint", [True, False])
def test_trains_loads_and_repeats(tmp_path: Path, joint: bool, pairs: Pairs) -> None:
    options = Vocabulary(size=80, joint=joint)
    tokenizers = train_tokenizers(tmp_path / "first", iter(pairs), options)
    assert tokenizers.joint == joint
    assert tokenizers.source.size == tokenizers.target.size == 80
    train_tokenizers(tmp_path / "second", iter(pairs), options)
    assert contents(tmp_path / "first") == contents(tmp_path / "second")
    assert len(contents(tmp_path / "first")) == (1 if joint else 2)
    assert Tokenizers.load(tmp_path / "first").joint == joint


def test_replaces_another_kind(tmp_path: Path, pairs: Pairs) -> None:
    train_tokenizers(tmp_path / "t", iter(pairs), Vocabulary(size=80, joint=True))
    train_tokenizers(tmp_path / "t", iter(pairs), Vocabulary(size=80, joint=False))
    assert set(contents(tmp_path / "t")) == {"source.model", "target.model"}


def test_text_to_ids_and_back(tmp_path: Path, pairs: Pairs) -> None:
    tokenizer = train_tokenizers(tmp_path, iter(pairs), Vocabulary(size=80)).source
    line = "zwölf grün straße"
    (ids,) = tokenizer.encode([line])
    assert min(ids) > 3
    assert tokenizer.decode([2, 0, *ids, 2, 1]) == line
    assert tokenizer.encode([line, ""], threads=2) == [ids, []]
    assert 3 in tokenizer.encode(["☃"])[0]


def test_text_cannot_spell_special_pieces(tmp_path: Path, pairs: Pairs) -> None:
    tokenizer = train_tokenizers(tmp_path, iter(pairs), Vocabulary(size=80)).source
    assert not {0, 1, 2} & set(tokenizer.encode(["<s> a </s> <pad>"])[0])


PERSIAN = "می\u200cخواهم"
HINDI = "क\u094d\u200dष"
ODD = [
    "zwölf\u00ad grün",
    f"{PERSIAN} {HINDI}",
    "a\u200cb\u200dc",
    "\u2060zwölf\x02\u2067",
    "a\tb\x85c\u2028d",
]


def test_joiners_are_kept_where_the_vocabulary_has_them(
    tmp_path: Path, pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hat.data.tokenizer.NORMALISATION", "identity")
    options = Vocabulary(size=100)
    knowing = train_tokenizers(tmp_path / "a", iter([*pairs, (PERSIAN, HINDI)] * 3), options).source
    (ids,) = knowing.encode([f"{PERSIAN} {HINDI}"])
    assert 3 not in ids
    assert SentencePieceTokenizer(tmp_path / "a" / "joint.model").decode(ids) == f"{PERSIAN} {HINDI}"
    assert knowing.encode(["a\u200cb\u200dc"]) == knowing.encode(["abc"])
    bare = (PERSIAN.replace("\u200c", ""), HINDI.replace("\u200d", ""))
    ignorant = train_tokenizers(tmp_path / "b", iter([*pairs, bare] * 3), options).source
    assert ignorant.encode([PERSIAN, HINDI]) == ignorant.encode(list(bare))


@pytest.mark.parametrize("normalisation", ["nmt_nfkc", "identity"])
def test_the_device_cuts_odd_text_as_training_did(
    tmp_path: Path, pairs: Pairs, normalisation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hat.data.tokenizer.NORMALISATION", normalisation)
    for number, more in enumerate(([], [(PERSIAN, HINDI)])):
        folder = tmp_path / str(number)
        options = Vocabulary(size=100)
        training = train_tokenizers(folder, iter([*pairs, *more] * 3), options).source
        device = runtime.Tokenizer(folder, runtime.TokenizerConfig())
        assert training.encode(ODD) == [device.encode(line) for line in ODD]


def test_one_string_is_no_list_of_lines(tmp_path: Path, pairs: Pairs) -> None:
    tokenizer = train_tokenizers(tmp_path, iter(pairs), Vocabulary(size=80)).source
    with pytest.raises(UserError, match="expected a list of lines, not one string"):
        tokenizer.encode("zwölf")


def test_composed_and_decomposed_accents_are_alike(tmp_path: Path, pairs: Pairs) -> None:
    tokenizer = train_tokenizers(tmp_path, iter(pairs), Vocabulary(size=80)).source
    composed, decomposed = tokenizer.encode(["zwölf", "zwo\u0308lf"])
    assert composed == decomposed


def test_largest_possible_size_is_named_and_possible(tmp_path: Path, pairs: Pairs) -> None:
    with pytest.raises(UserError, match=r"\(joint\): size 9000 is too large for .* is \d+$") as caught:
        train_tokenizers(tmp_path, iter(pairs), Vocabulary(size=9000))
    assert not (tmp_path / "joint.model").exists()
    largest = int(str(caught.value).split()[-1])
    assert train_tokenizers(tmp_path, iter(pairs), Vocabulary(size=largest)).source.size == largest


def test_smallest_possible_size_is_named(tmp_path: Path, pairs: Pairs) -> None:
    with pytest.raises(UserError, match=r"\(source\): size 10 is too small .* at least \d+ is needed"):
        train_tokenizers(tmp_path, iter(pairs), Vocabulary(size=10, joint=False))


def test_only_endless_sentences(tmp_path: Path) -> None:
    with pytest.raises(HatError, match="no sentence of at most 4192 bytes"):
        train_tokenizers(tmp_path, [("a" * 5000, "b" * 5000)], Vocabulary(size=80))


@pytest.mark.parametrize("stop", [UserError("file:3: not UTF-8"), KeyboardInterrupt()])
def test_errors_while_reading_come_through(tmp_path: Path, stop: BaseException, pairs: Pairs) -> None:
    def failing():  # type: ignore[no-untyped-def]
        yield pairs[0]
        raise stop

    with pytest.raises(type(stop)) as caught:
        train_tokenizers(tmp_path, failing(), Vocabulary(size=80))
    assert caught.value is stop


def test_an_impossible_size_is_refused() -> None:
    with pytest.raises(ValidationError, match="it must be above 4"):
        Vocabulary(size=4)
    assert Vocabulary(size=4, kind="moses-bpe").size == 4  # merges


def test_damaged_models(tmp_path: Path, pairs: Pairs) -> None:
    train_tokenizers(tmp_path, iter(pairs), Vocabulary(size=80))
    model = (tmp_path / "joint.model").read_bytes()
    for damaged in (b"", model[:500], b"not a model", model[1:]):
        (tmp_path / "joint.model").write_bytes(damaged)
        with pytest.raises(UserError, match=r"joint\.model: "):
            Tokenizers.load(tmp_path)
    with pytest.raises(UserError, match="no such tokenizer"):
        SentencePieceTokenizer(tmp_path / "none.model")


def test_model_with_other_special_ids(tmp_path: Path, pairs: Pairs) -> None:
    path = tmp_path / "joint.model"
    with path.open("wb") as stream:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(source for source, _ in pairs),
            model_writer=stream,
            vocab_size=30,
            model_type="char",
            hard_vocab_limit=False,
            minloglevel=2,
        )
    with pytest.raises(UserError, match=r"special pieces are <unk> <s> </s> .* expected <s> <pad>"):
        SentencePieceTokenizer(path)


def test_sample_is_uniform_ordered_and_repeatable() -> None:
    pairs = [(str(i), "") for i in range(1000)]
    drawn = [int(source) for source, _ in sample_pairs(pairs, 1000, 100, seed=7)]
    assert len(drawn) == 100
    assert drawn == sorted(set(drawn))
    assert drawn == [int(source) for source, _ in sample_pairs(pairs, 1000, 100, seed=7)]
    assert drawn != [int(source) for source, _ in sample_pairs(pairs, 1000, 100, seed=8)]
    assert 400 < sum(drawn) / 100 < 600
    assert list(sample_pairs(pairs, 1000, 2000, seed=7)) == pairs
