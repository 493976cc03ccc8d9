"""Lines of several sentences, long ones and unknown ones, over an engine that echoes."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hat.data.builtin import generate
from hat.errors import UserError
from hat.files import record_from
from hat.runtime import Artefact, Hypothesis, Tokenizer, TokenizerConfig, TrainingLines, Translator
from hat.runtime.translator import long_input as long
from tests.runtime.echo import Echo
from tests.runtime.odd_lines import FACE, ODD_LINES
from tests.runtime.tiny_tokenizer import LINES, train_tokenizer


def trained_on(artefact: Artefact, echo: Echo, tokens: int, sentences: int = 1) -> Translator:
    config = replace(artefact.config, training_lines=TrainingLines(tokens, sentences))
    return Translator(config, artefact.tokenizer_folder, echo)


@pytest.mark.parametrize("separator", [" ", "  ", "\t", "\u00a0", "\u3000 ", "\u2028", "\x85", " \n\n "])
def test_sentences_are_translated_one_by_one_and_joined_as_they_were(
    speaking: Translator, echo: Echo, separator: str
) -> None:
    [found] = speaking.translate([separator.join(LINES)])
    assert str(found) == separator.join(LINES)
    assert (found.parts, found.cut, found.copied) == (4, False, ())
    alone = speaking.translate(LINES)
    assert found.tokens == tuple(itertools.chain(*(one.tokens for one in alone)))
    assert sorted(echo.batches[0]) == sorted(echo.batches[1])


def test_a_model_trained_on_several_sentences_a_line_gets_as_many(artefact: Artefact, echo: Echo) -> None:
    two = trained_on(artefact, echo, tokens=200, sentences=2)
    [found] = two.translate([" ".join([*LINES, LINES[0]])])
    assert (str(found), found.parts) == (" ".join([*LINES, LINES[0]]), 3)
    lengths = [len(two._tokenizer.encode(line)) for line in LINES]
    short = trained_on(artefact, echo, tokens=max(lengths) + 1, sentences=2)
    assert short.translate([" ".join(LINES)])[0].parts == 4


def test_a_line_kept_whole_is_one_sentence_to_the_model(artefact: Artefact, echo: Echo) -> None:
    whole = trained_on(artefact, echo, tokens=12)
    line = " ".join(LINES)
    [found] = whole.translate([line], split=False)
    assert (str(found), found.parts) == (line, 1)
    [streamed] = whole.translate_stream([line], split=False)
    assert streamed == found
    assert [len(batch) for batch in echo.batches] == [1, 1]


def test_a_line_that_is_kept_whole_has_a_bound(speaking: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long, "MAX_SOURCE_TOKENS", 20)
    with pytest.raises(UserError, match=r"line 2: \d+ tokens with </s>; the most are 20"):
        speaking.translate(["tree", " ".join(LINES)], split=False)


def test_a_sentence_longer_than_those_of_training_is_cut_in_even_parts(
    artefact: Artefact, echo: Echo
) -> None:
    short = trained_on(artefact, echo, tokens=20)
    [found] = short.translate([" ".join(["tree"] * 40)])
    assert str(found) == " ".join(["tree"] * 40)
    assert found.cut
    [lengths] = echo.batches
    assert max(lengths) <= 20
    assert max(lengths) - min(lengths) <= 8  # and no part of a word or two


def test_a_sentence_is_cut_behind_a_clause_or_comma(artefact: Artefact, echo: Echo, tmp_path: Path) -> None:
    lines = [f"{LINES[0][:-1]}, {LINES[1]}", f"{LINES[2][:-1]}; {LINES[3]}"]
    train_tokenizer(tmp_path / "joint.model", lines=lines, vocab_size=60)
    tokenizer = Tokenizer(tmp_path, TokenizerConfig())
    tokens = tokenizer.encode("the old tree the old, cat the old house near; the old tree near the dog")
    first, *_ = long.cut(tokens, tokenizer, len(tokens) * 3 // 4)
    assert tokenizer.decode(first) == "the old tree the old, cat the old house near;"
    comma = [token for token in tokens if tokenizer.source_pieces([token])[0] != ";"]
    first, *_ = long.cut(comma, tokenizer, len(comma) * 3 // 4)
    assert tokenizer.decode(first) == "the old tree the old,"


def test_a_word_without_any_boundary_is_cut_and_joined_again(artefact: Artefact, echo: Echo) -> None:
    short = trained_on(artefact, echo, tokens=10)
    [found] = short.translate(["tree" * 20])
    assert str(found) == "tree" * 20
    assert max(itertools.chain(*echo.batches)) <= 10


@pytest.mark.parametrize(
    "line",
    [
        "",
        " ",
        " \t ",
        "\u00a0",
        "\u3000",
        "\u200b",
        "\ufeff",
        "\u00ad",
        "\u200e\u200f",
        "\x85",
        "\x0b",
        "\x01\x02",
        "\x7f",
        "\u2581",
        "\ufffd",
        "\U0010ffff",
        "\ue000",
        "?!",
        " … ",
        FACE,
        f" {FACE} \ufe0f{FACE} ",
        "日本語",
        "Привет, мир!",
        "\U0001f469\u200d\U0001f469\u200d\U0001f467",
        "1234",
        "<s>",
        "</s>",
        "12 + 13 = 25",
        "\x1b[31m",
    ],
)
def test_a_line_of_which_the_model_knows_nothing_comes_back_as_it_was(
    speaking: Translator, echo: Echo, line: str
) -> None:
    found, other = speaking.translate([line, "tree"])
    assert (found.text, found.tokens, found.parts) == (line, (), 0)
    assert found.copied == ((line,) if line.strip() else ())
    assert str(other) == "tree"
    assert [len(batch) for batch in echo.batches] == [1]
    assert speaking.translate([line], nbest=2)[0].alternatives == ()


def test_the_end_of_a_line_is_no_part_of_its_translation(speaking: Translator) -> None:
    lines = ["", " ", FACE, LINES[0], f"{FACE}\r"]
    assert speaking.translate(f"{line}\n" for line in lines[:-1]) == speaking.translate(lines[:-1])
    assert speaking.translate([f"{line}\r\n" for line in lines]) == speaking.translate(lines)


def test_unknown_words_are_copied_and_the_rest_is_translated_without_them(
    speaking: Translator, echo: Echo
) -> None:
    lines = [f"The small dog {FACE} sleeps in the house.", f"{LINES[0]} 日本語。 {LINES[1]}", LINES[0]]
    found = speaking.translate(lines, nbest=2)
    assert [str(one) for one in found] == lines
    assert [one.copied for one in found] == [(FACE,), ("日本語。",), ()]
    assert found[0].tokens == found[2].tokens
    assert FACE in found[0].alternatives[0][0]
    assert "<unk>" not in found[0].tokens + found[1].tokens


@pytest.mark.parametrize(
    "character", ["\u00ad", "\u2060", "\u200b", "\ufeff", "\u200d", "\u200e", "\u2067", "\x02", "\U000e0041"]
)
def test_characters_without_meaning_change_no_translation(speaking: Translator, character: str) -> None:
    hidden = [character + line.replace("e", f"{character}e") + character for line in LINES]
    assert speaking.translate(hidden) == speaking.translate(LINES)
    pairs = [("tree", line) for line in LINES]
    assert speaking.score([("tr" + character + "ee", line) for line in hidden]) == speaking.score(pairs)


def test_an_artefact_says_what_it_was_trained_on(artefact: Artefact, tmp_path: Path) -> None:
    lines = TrainingLines(33, 2)
    replace(artefact, config=replace(artefact.config, training_lines=lines)).save(tmp_path / "new")
    assert Artefact.load(tmp_path / "new").config.training_lines == lines
    artefact.save(tmp_path / "old")  # as artefacts were before they said so
    assert "training_lines" not in (tmp_path / "old" / "config.json").read_text("utf-8")
    assert Artefact.load(tmp_path / "old").config.training_lines is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"source_tokens": 1, "sentences": 1},
            "training_lines.source_tokens: 1 is not a whole number from 2",
        ),
        ({"source_tokens": 9, "sentences": 0}, "training_lines.sentences: 0 is not a whole number from 1"),
        ({"source_tokens": 10**9, "sentences": 1}, "training_lines.source_tokens: 1000000000 is not"),
        ({"source_tokens": 9.5, "sentences": 1}, "training_lines.source_tokens: 9.5 is not"),
        ({"source_tokens": True, "sentences": 1}, "training_lines.source_tokens: True is not"),
        ({"source_tokens": 9}, "training_lines: missing key sentences"),
        ({"source_tokens": 9, "sentences": 1, "x": 1}, "training_lines: unknown key x"),
        ([9, 1], "training_lines: expected a mapping"),
    ],
)
def test_a_damaged_statement_of_what_it_was_trained_on(value: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        record_from(TrainingLines, value, "training_lines")


def test_batches_of_long_lines_hold_fewer(
    speaking: Translator, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    length = len(speaking._tokenizer.encode(LINES[0])) + 1
    monkeypatch.setattr(long, "MAX_SOURCE_TOKENS", 2 * length)
    speaking.translate([LINES[0]] * 10, split=False)
    assert [len(batch) for batch in echo.batches] == [4, 4, 2]


class Recorder(Echo):
    """Keeps the sources that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[tuple[int, ...]] = []

    def translate(self, sources: Sequence[Sequence[int]], options: object) -> list[list[Hypothesis]]:
        self.sources += map(tuple, sources)
        return super().translate(sources, options)  # type: ignore[arg-type]


# Sentences of the built-in grammar; pairs of them to a line; soft hyphens in their long words.
SINGLE = [source for source, _ in generate(seed=7, train=200, valid=0, test=0).train]
PAIRS = [" ".join(SINGLE[first : first + 2]) for first in range(0, len(SINGLE), 2)]
HYPHENATED = [re.sub(r"(\w{3})(\w{3,})", "\\1\u00ad\\2", sentence) for sentence in SINGLE]


@pytest.fixture
def demo(artefact: Artefact, tmp_path: Path) -> Translator:
    """A vocabulary of the grammar's sentences over an engine that echoes."""
    train_tokenizer(tmp_path / "joint.model", lines=SINGLE, vocab_size=400)
    model = replace(artefact.config.model, source_vocab=400, target_vocab=400)
    config = replace(artefact.config, model=model, training_lines=TrainingLines(24))
    return Translator(config, tmp_path, Recorder())


def sources(demo: Translator, lines: list[str]) -> list[tuple[int, ...]]:
    assert isinstance(demo.engine, Recorder)
    demo.engine.sources = []
    demo.translate(lines)
    return sorted(demo.engine.sources)


@pytest.mark.parametrize(
    "lines", [PAIRS, HYPHENATED, [" ".join(SINGLE)]], ids=["pairs", "hyphens", "paragraph"]
)
def test_pairs_soft_hyphens_and_paragraphs_are_translated_as_single_sentences(
    demo: Translator, lines: list[str]
) -> None:
    assert lines != SINGLE
    assert sources(demo, lines) == sources(demo, SINGLE)


@pytest.mark.parametrize("split", [True, False])
def test_odd_lines_all_come_out_whatever_the_batch(demo: Translator, split: bool) -> None:
    found = demo.translate(ODD_LINES, split=split)
    assert len(found) == len(ODD_LINES)
    for batch in (1, 7):
        assert demo.translate(ODD_LINES, batch=batch, split=split) == found
        assert list(demo.translate_stream(ODD_LINES, batch=batch, split=split)) == found
    known = [line for line, one in zip(ODD_LINES, found, strict=True) if one.parts]
    assert not any(FACE in line and "dog" not in line for line in known)
