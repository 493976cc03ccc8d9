"""Preparation from text to folder: its report, its repeatability, killed anywhere."""

import multiprocessing
import os
import signal
from itertools import count
from pathlib import Path

import pytest

from hat.data import (
    Cleaning,
    Corpora,
    ParallelText,
    Tokenizers,
    TokenStore,
    Vocabulary,
    prepare,
    typical_lengths,
    write_store,
)
from hat.errors import UserError
from hat.files import read_json
from hat.lines import read_lines


def run(folder: Path, corpora: Corpora, joint: bool = True, **options: int) -> dict:  # type: ignore[type-arg]
    vocabulary = Vocabulary(size=80, joint=joint)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hat.data.preparation.SAMPLE_PAIRS", options.pop("sample", 200))
        return prepare(folder, corpora, vocabulary=vocabulary, cleaning=Cleaning(), seed=1, **options)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("joint", [True, False])
def test_everything_is_there(tmp_path: Path, corpora: Corpora, joint: bool) -> None:
    folder = tmp_path / "data"
    report = run(folder, corpora, joint)
    assert report == read_json(folder / "report.json")
    assert report["cleaning"] == {
        "read": 304,
        "kept": 300,
        "empty": 1,
        "duplicate": 1,
        "too_long": 1,
        "ratio": 1,
    }
    tokenizers = Tokenizers.load(folder / "tokenizer")
    train, test = TokenStore.open(folder / "train"), TokenStore.open(folder / "test")
    assert (len(train), len(test)) == (300, 21)
    assert train.vocab == (80, 80)
    assert report["train"]["digest"] == train.digest
    assert report["lengths"] == read_json(folder / "lengths.json")
    lines = read_lines(folder / "test.source.txt"), read_lines(folder / "test.target.txt")
    for i in range(21):
        assert tokenizers.source.decode(test.source(i).tolist()) == lines[0][i]
        assert tokenizers.target.decode(test.target(i).tolist()) == lines[1][i]


def test_validation_and_test_are_never_cleaned(tmp_path: Path, corpora: Corpora) -> None:
    awkward = tmp_path / "awkward.tsv"
    awkward.write_text("haus\tTür\nhaus\tTür\nhaus\t" + "Tür " * 300 + "\n")
    run(tmp_path / "data", Corpora(corpora.train, (ParallelText(awkward),), corpora.test))
    assert len(TokenStore.open(tmp_path / "data" / "valid")) == 3


def test_repeats_to_the_byte(tmp_path: Path, corpora: Corpora) -> None:
    run(tmp_path / "a", corpora, threads=1)
    first = contents(tmp_path / "a")
    run(tmp_path / "a", corpora, threads=2)
    assert contents(tmp_path / "a") == first
    run(tmp_path / "b", corpora, sample=100)
    assert contents(tmp_path / "b") != first
    run(tmp_path / "b", corpora)
    assert contents(tmp_path / "b") == first


def killed_before_flush(folder: Path, corpora: Corpora, survive: int) -> None:
    """Run in a process of its own that kills itself at its flush number `survive`."""
    numbers, fsync = count(), os.fsync

    def flush(descriptor: int) -> None:
        if next(numbers) == survive:
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(descriptor)

    os.fsync = flush
    run(folder, corpora)


def test_killed_anywhere_ends_in_the_same_bytes(tmp_path: Path, corpora: Corpora) -> None:
    run(tmp_path / "undisturbed", corpora)
    expected = contents(tmp_path / "undisturbed")
    kills = 0
    for survive in range(0, 40, 3):
        folder = tmp_path / f"killed{survive}"
        arguments = (folder, corpora, survive)
        process = multiprocessing.get_context("fork").Process(target=killed_before_flush, args=arguments)
        process.start()
        process.join(60)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        assert not (folder / "report.json").exists()
        run(folder, corpora)
        assert contents(folder) == expected
        kills += 1
    assert kills >= 5


def test_unfinished_work_does_not_look_whole(tmp_path: Path, corpora: Corpora) -> None:
    run(tmp_path / "data", corpora)
    bad = tmp_path / "bad.tsv"
    bad.write_text("a\tb\nc\n")
    with pytest.raises(UserError, match=r"bad\.tsv:2"):
        run(tmp_path / "data", Corpora((ParallelText(bad),), corpora.valid, corpora.test))
    assert not (tmp_path / "data" / "report.json").exists()
    assert not list((tmp_path / "data").glob(".*"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\t\n", "no sentence pair with text on both sides"),
        ("haus\t" + "Tür " * 50 + "\n", "none of 1 training pairs .* 1 ratio"),
    ],
)
def test_nothing_left(tmp_path: Path, corpora: Corpora, text: str, message: str) -> None:
    path = tmp_path / "poor.tsv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        prepare(
            tmp_path / "data",
            Corpora((ParallelText(path),), corpora.valid, corpora.test),
            vocabulary=Vocabulary(size=15),
            cleaning=Cleaning(),
            seed=1,
        )


def test_empty_test_sentence_is_refused(tmp_path: Path, corpora: Corpora) -> None:
    path = tmp_path / "holes.tsv"
    path.write_text("haus\tTür\n\tTür\n")
    with pytest.raises(UserError, match=r"holes\.tsv:2: empty sentence"):
        run(tmp_path / "data", Corpora(corpora.train, corpora.valid, (ParallelText(path),)))


def test_progress_rises_to_one(tmp_path: Path, corpora: Corpora) -> None:
    seen: list[tuple[float, float, str]] = []
    prepare(
        tmp_path / "data",
        corpora,
        vocabulary=Vocabulary(size=80),
        cleaning=Cleaning(),
        seed=1,
        progress=lambda *event: seen.append(event),
    )
    assert seen == sorted(seen)
    assert seen[-1][:2] == (1, 1)


def test_typical_lengths(tmp_path: Path) -> None:
    sources = [[5] * n for n in range(1, 102)] + [[5] * 51] * 2
    targets = [[5] * (2 * n) for n in range(1, 102)] + [[5] * 110] * 2
    store = write_store(tmp_path / "s", [(sources, targets)], (9, 9))
    assert typical_lengths(store) == [(12, 23), (52, 111), (92, 183)]


def test_a_corpus_of_long_lines_does_not_swell_the_sample(
    tmp_path: Path, corpora: Corpora, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "bounded_by_pairs", corpora, sample=30)
    monkeypatch.setattr("hat.data.preparation.SAMPLE_BYTES", 3000)
    run(tmp_path / "a", corpora, sample=300)
    run(tmp_path / "b", corpora, sample=200)
    models = [tmp_path / name / "tokenizer" / "joint.model" for name in ("a", "b", "bounded_by_pairs")]
    assert models[0].read_bytes() == models[1].read_bytes() != models[2].read_bytes()


def written(folder: Path, name: str, pairs: list[tuple[str, str]]) -> tuple[ParallelText, ...]:
    path = folder / f"{name}.tsv"
    path.write_text("".join(f"{source}\t{target}\n" for source, target in pairs), "utf-8")
    return (ParallelText(path),)


@pytest.mark.parametrize("character", ["\u00ad", "\u2060", "\u200b", "\u200d", "\u200e", "\x02"])
def test_characters_without_meaning_leave_no_trace_in_vocabulary_and_text(
    tmp_path: Path, pairs: list[tuple[str, str]], character: str
) -> None:
    results = []
    for name, hidden in (("plain", ""), ("hidden", character)):
        (tmp_path / name).mkdir()
        text = [tuple(side.replace("a", f"a{hidden}") for side in pair) for pair in pairs]
        parts = [written(tmp_path / name, part, text) for part in ("train", "valid", "test")]  # type: ignore[arg-type]
        results.append(run(tmp_path / name / "data", Corpora(*parts)))
    plain, hidden = results
    assert plain == hidden


def test_the_lines_that_a_model_is_trained_on_are_reported(tmp_path: Path, corpora: Corpora) -> None:
    report = run(tmp_path / "data", corpora)
    longest = int(TokenStore.open(tmp_path / "data" / "train").source_lengths.max()) + 1
    assert report["training_lines"] == {"source_tokens": longest, "sentences": 1}


@pytest.mark.parametrize(("every", "sentences"), [(25, 1), (19, 2)])
def test_as_many_sentences_count_as_one_line_in_twenty_has(
    tmp_path: Path, pairs: list[tuple[str, str]], every: int, sentences: int
) -> None:
    two = [
        (f"{source}. {source.capitalize()}." if number % every == 0 else source, target * 2)
        for number, (source, target) in enumerate(pairs, start=1)
    ]
    few = written(tmp_path, "few", pairs)
    report = run(tmp_path / "data", Corpora(written(tmp_path, "train", two), few, few))
    assert report["training_lines"]["sentences"] == sentences


def test_the_share_of_unknown_text_is_reported(tmp_path: Path, corpora: Corpora) -> None:
    odd = written(tmp_path, "odd", [("haus \U0001f600 haus", "Tür"), ("haus", "日 Tür")])
    unknown = run(tmp_path / "data", Corpora(corpora.train, odd, corpora.test))["unknown"]
    store = TokenStore.open(tmp_path / "data" / "valid")
    assert unknown["valid"]["source"] == {"pieces": 1, "share": 1 / len(store.source_tokens)}
    assert unknown["valid"]["target"] == {"pieces": 1, "share": 1 / len(store.target_tokens)}
    assert unknown["train"]["source"] == unknown["test"]["target"] == {"pieces": 0, "share": 0}
