"""Arguments that the Python functions take, and those that they refuse in the caller's words."""

import copy
import pickle
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hat
from hat.architecture import (
    Architecture,
    Decoder,
    DecoderLayer,
    Encoder,
    EncoderLayer,
    EvolvedArchitecture,
    ModelConfig,
)
from hat.errors import UserError
from hat.evaluation import score, tokenised_bleu
from hat.evaluation.bootstrap import paired_bootstrap
from hat.hardware import MeasureProtocol
from hat.runtime import Artefact, CodeBooks, DecodeOptions, EngineSettings, TrainingLines, Translator
from hat.search import EvolutionSettings
from hat.zoo import space
from tests.runtime.echo import Echo
from tests.runtime.tiny_tokenizer import LINES

INT, FLOAT = np.int64, np.float64


def generated(lines: list[str]) -> Iterator[str]:
    yield from lines


@pytest.mark.parametrize(
    "form",
    [
        list,
        tuple,
        iter,
        generated,
        np.array,
        lambda lines: map(str, lines),
        lambda lines: dict.fromkeys(lines).keys(),
    ],
)
def test_whatever_gives_lines_is_translated(speaking: Translator, form: Callable[[Any], Any]) -> None:
    assert [str(one) for one in speaking.translate(form(LINES))] == LINES
    assert [str(one) for one in speaking.translate_stream(form(LINES))] == LINES


@pytest.mark.parametrize(
    "form",
    [
        list,
        tuple,
        iter,
        np.array,
        lambda pairs: zip(*zip(*pairs, strict=True), strict=True),
        lambda pairs: map(list, pairs),
    ],
)
def test_whatever_gives_pairs_is_scored(speaking: Translator, form: Callable[[Any], Any]) -> None:
    pairs = [("tree", "old tree"), ("dog", "small dog")]
    assert speaking.score(form(pairs)) == speaking.score(pairs)


@pytest.mark.parametrize(
    "lines",
    ["tree", b"tree", {"tree": 1}, {"tree"}, frozenset({"tree"}), None, 5, Path("in.txt"), np.array("tree")],
)
def test_what_gives_no_lines_in_order_is_refused(speaking: Translator, lines: Any) -> None:
    for use in (speaking.translate, speaking.translate_stream):
        with pytest.raises(UserError, match="expected a list of lines, not"):
            use(lines)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["ab"], r"pair 1: expected \(source, target\), two texts, not 'ab'"),
        ([("a", "b"), "cd"], r"pair 2: .* not 'cd'"),
        ([("a",)], r"pair 1: .* not \('a',\)"),
        ([("a", "b", "c")], "pair 1: .* two texts"),
        ([{"a", "b"}], "pair 1: .* two texts"),
        ([3], "pair 1: .* not 3"),
        ("ab", r"expected a list of \(source, target\) pairs, not 'ab'"),
        ({"a": "b"}, r"expected a list of \(source, target\) pairs"),
        (None, r"expected a list of \(source, target\) pairs, not None"),
        (5, r"expected a list of \(source, target\) pairs, not 5"),
        ([("a", 3)], "pair 1, target: expected text, not int"),
    ],
)
def test_what_is_no_pair_is_not_scored(speaking: Translator, pairs: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        speaking.score(pairs)


@pytest.mark.parametrize("path", [None, 5, b"runs/demo", ["runs/demo"]])
def test_what_is_no_path_is_not_loaded(path: Any) -> None:
    with pytest.raises(UserError, match=r"path: .* is not a path"):
        Translator.load(path)


def test_numpys_numbers_are_options(speaking: Translator, echo: Echo) -> None:
    asked = {
        "beam": INT(3),
        "nbest": np.int8(2),
        "length_penalty": np.float32(0.5),
        "max_length": np.uint16(9),
    }
    [found] = speaking.translate(["tree"], batch=np.int32(2), **asked)
    assert len(found.alternatives) == 1
    assert echo.options[-1] == DecodeOptions(3, 0.5, 2, 2, 0.0, 9)
    assert {type(value) for value in vars(echo.options[-1]).values()} == {int, float}
    assert speaking.score([("tree", "tree")], batch=INT(1))


LAYERS = (EncoderLayer(16, 2), DecoderLayer(16, 2, 2, 1))
PLAIN = Architecture(8, Encoder(8, LAYERS[:1]), Decoder(8, LAYERS[1:]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (lambda: EngineSettings(INT(2)), EngineSettings(2)),
        (lambda: DecodeOptions(INT(2), FLOAT(0.5)), DecodeOptions(2, 0.5)),
        (lambda: TrainingLines(INT(9), INT(2)), TrainingLines(9, 2)),
        (lambda: CodeBooks(INT(32)), CodeBooks(32)),
        (lambda: EvolutionSettings(population=INT(200)), EvolutionSettings(population=200)),
        (lambda: MeasureProtocol((INT(9),), (INT(8),), beam=INT(3)), MeasureProtocol((9,), (8,), beam=3)),
        (lambda: MeasureProtocol(np.array([9]), np.array([8])), MeasureProtocol((9,), (8,))),
        (lambda: EvolvedArchitecture(INT(16), INT(2)), EvolvedArchitecture(16, 2)),
        (lambda: EncoderLayer(INT(16), INT(2)), LAYERS[0]),
        (lambda: Architecture(INT(8), Encoder(INT(8), LAYERS[:1]), Decoder(INT(8), LAYERS[1:])), PLAIN),
        (lambda: ModelConfig(PLAIN, INT(9), INT(9)), ModelConfig(PLAIN, 9, 9)),
    ],
)
def test_numpys_numbers_in_settings_are_pythons_afterwards(given: Callable[[], Any], plain: Any) -> None:
    assert given() == plain
    assert repr(given()) == repr(plain)


def test_a_space_reads_numpys_genes() -> None:
    demo = space("demo")
    one = demo.sample(random.Random(1))
    assert demo.decode(np.array(demo.encode(one))) == one


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EngineSettings(10**12), "threads: 1000000000000 is more than 1024; this process may use"),
        (lambda: EngineSettings(1.5), "threads: 1.5 is not a whole number"),  # type: ignore[arg-type]
        (lambda: EngineSettings("2"), "threads: '2' is not a whole number"),  # type: ignore[arg-type]
        (lambda: EngineSettings(instruction_set=3), "instruction_set: 3 is not a name"),  # type: ignore[arg-type]
        (lambda: DecodeOptions(np.bool_(True)), "beam: np.True_ is not a whole number"),  # type: ignore[arg-type]
        (lambda: DecodeOptions(FLOAT(2)), "beam: np.float64.2.0. is not a whole number"),  # type: ignore[arg-type]
        (lambda: DecodeOptions(length_penalty=FLOAT("nan")), "length_penalty: .* is not a finite number"),
    ],
)
def test_numbers_that_cannot_be_meant(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"max_length": 1}, "max_length: 1 leaves no room for a translation, which needs at least 2 tokens"),
        ({"max_length": 10**12}, "max_length: 1000000000000 is more than 65536"),
        ({"max_length": 2.5}, "max_length: 2.5 is not a whole number"),
        ({"batch": 2.0}, "batch: 2.0 is not a whole number"),
        ({"batch": "4"}, "batch: '4' is not a whole number"),
        ({"beam": 10**12}, "beam: 1000000000000 is more than 4096"),
    ],
)
def test_options_are_refused_by_the_names_that_were_given(
    speaking: Translator,
    asked: Any,
    message: str,
) -> None:
    with pytest.raises(UserError, match=message):
        speaking.translate(["tree"], **asked)


@pytest.mark.parametrize("form", [list, iter, tuple])
def test_whatever_gives_lines_is_evaluated(form: Callable[[Any], Any]) -> None:
    lines = ["a b c d", "e f g h"]
    assert score(form(lines), form(lines)).bleu == pytest.approx(100)
    assert paired_bootstrap(form(lines), form(lines), form(lines), samples=3).bleu == 0


def test_one_string_is_no_list_of_translations() -> None:
    for use in (lambda: score("abc", "abc"), lambda: tokenised_bleu("abc", "abc", "en")):
        with pytest.raises(UserError, match="expected a list of lines, not one string"):
            use()
    with pytest.raises(UserError, match="expected a list of lines, not one string"):
        paired_bootstrap("abc", "abc", "abc")
    with pytest.raises(UserError, match="line 1: expected text, not list"):
        score(["a"], [["a"]])  # type: ignore[list-item]


def test_a_pickled_or_copied_translator_loads_its_model_again(artefact: Artefact, tmp_path: Path) -> None:
    artefact.save(tmp_path)
    config = replace(artefact.config.decode, beam=2, max_length_factor=0.0, max_length_offset=12)
    artefact.with_decode(config).save(tmp_path)
    with Translator.load(str(tmp_path), threads=1, long_input="refuse") as one:
        expected = one.translate(LINES[:1])
        for again in (pickle.loads(pickle.dumps(one)), copy.copy(one), copy.deepcopy(one)):
            with again:
                assert again.translate(LINES[:1]) == expected
                assert again.engine is not one.engine
                with pytest.raises(UserError, match=r"line 1: .* the most are 256"):
                    again.translate(["tree " * 300])
        assert one.translate(LINES[:1]) == expected  # and lives on
    with pytest.raises(UserError, match="the translator is closed"):
        pickle.dumps(one)


def test_a_translator_that_was_not_loaded_says_why_it_cannot_be_copied(speaking: Translator) -> None:
    for use in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(UserError, match=r"cannot be copied or pickled; one from Translator\.load can"):
            use(speaking)


def test_the_package_shows_its_names_and_loads_them_when_they_are_used() -> None:
    assert {"Translator", "Translation", "Score", "UserError", "HatError", "__version__"} <= set(dir(hat))
    assert all(getattr(hat, name) is not None for name in hat.__all__)
    code = "import sys, hat; dir(hat); hat.UserError; assert 'numpy' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
