"""The Translator over an engine that echoes its source, so that every routing error shows."""

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from hat.errors import UserError
from hat.runtime import (
    Artefact,
    DecodeOptions,
    EngineSettings,
    Tokenizer,
    TokenizerConfig,
    TrainingLines,
    Translator,
)
from hat.runtime.translator import long_input, translator
from tests.runtime.echo import Echo
from tests.runtime.tiny_tokenizer import LINES, train_tokenizer


@pytest.fixture
def loaded() -> list[Artefact]:
    """The artefacts that were given to engines."""
    return []


@pytest.fixture
def run_folder(
    artefact: Artefact, echo: Echo, loaded: list[Artefact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    def load(name: str, artefact: Artefact, settings: EngineSettings) -> Echo:
        loaded.append(artefact)
        return echo

    monkeypatch.setattr(translator, "load_engine", load)
    artefact.save(tmp_path / "export" / "fast")
    artefact.save(tmp_path / "export" / "good")
    models = {"fast": "export/fast", "good": "export/good"}
    (tmp_path / "models.json").write_text(
        json.dumps({"default": "fast", "models": models, "trained": models})
    )
    return tmp_path


def test_order_empty_lines_and_batches(speaking: Translator, echo: Echo) -> None:
    lines = [LINES[0], "", LINES[1] + " " + LINES[2], "  \t", "tree", *LINES]
    found = speaking.translate(lines, batch=3)
    assert [str(translation) for translation in found] == lines
    lengths = list(itertools.chain(*echo.batches))
    assert lengths == sorted(lengths, reverse=True)
    assert [len(batch) for batch in echo.batches] == [3, 3, 2]
    assert found[1].tokens == ()
    assert "".join(found[4].tokens).strip("▁") == "tree"
    assert speaking.translate([]) == []


def test_options(speaking: Translator, echo: Echo) -> None:
    [found] = speaking.translate(["tree"], nbest=3)
    assert found.score == -1
    assert found.alternatives == (("tree tree", -2.0), ("tree tree tree", -3.0))
    assert echo.options[-1] == DecodeOptions(4, 0.6, 3, 2, 1.5, 201)
    speaking.translate(["tree"], beam=2, length_penalty=1.0, max_length=7)
    assert echo.options[-1] == DecodeOptions(2, 1.0, 1, 2, 0.0, 7)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"beam": 0}, "beam: 0 is less than 1"),
        ({"nbest": 9}, "nbest: 9 is more than the beam of 4"),
        ({"max_length": 0}, "no room"),
        ({"batch": 0}, "batch: 0"),
    ],
)
def test_bad_options(speaking: Translator, asked: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        speaking.translate(["tree"], **asked)  # type: ignore[arg-type]


def test_one_string_is_not_a_list_of_lines(speaking: Translator) -> None:
    with pytest.raises(UserError, match="list of lines"):
        speaking.translate("tree")


def test_a_run_folder_holds_several_models(run_folder: Path, echo: Echo, loaded: list[Artefact]) -> None:
    with Translator.load(run_folder) as default:
        assert default.config == loaded[-1].config
        assert loaded[-1].tokenizer_folder == run_folder / "export/fast/tokenizer"
    assert echo.closed
    Translator.load(str(run_folder), model="good", threads=1)
    assert loaded[-1].tokenizer_folder == run_folder / "export/good/tokenizer"
    assert str(Translator.load(run_folder / "export/good").translate(["tree"])[0]) == "tree"
    with pytest.raises(UserError, match="no model is called 'best'; the models are fast, good"):
        Translator.load(run_folder, model="best")
    with pytest.raises(UserError, match="single model"):
        Translator.load(run_folder / "export/good", model="good")
    with pytest.raises(UserError, match="neither an artefact nor a run folder"):
        Translator.load(run_folder / "export")


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:50],
        lambda content: b"\xff" * 100,
        lambda content: content.replace(b"\n\x01d", b"\n\x01\xff", 1),  # the piece "d", in no encoding
    ],
)
def test_corrupt_tokenizer(run_folder: Path, damage: Callable[[bytes], bytes], echo: Echo) -> None:
    path = run_folder / "export/fast/tokenizer/joint.model"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"joint\.model: not a SentencePiece model"):
        Translator.load(run_folder)
    assert echo.closed


def test_tokenizer_with_other_special_ids(tmp_path: Path) -> None:
    train_tokenizer(tmp_path / "joint.model", bos_id=1, pad_id=0)
    with pytest.raises(UserError, match=r"ids \(1, 0, 2, 3\); expected \(0, 1, 2, 3\)"):
        Tokenizer(tmp_path, TokenizerConfig())


def test_one_tokenizer_per_side(tokenizer_folder: Path, tmp_path: Path) -> None:
    content = (tokenizer_folder / "joint.model").read_bytes()
    (tmp_path / "source.model").write_bytes(content)
    with pytest.raises(UserError, match=r"target\.model: No such file"):
        Tokenizer(tmp_path, TokenizerConfig(joint=False))
    (tmp_path / "target.model").write_bytes(content)
    both = Tokenizer(tmp_path, TokenizerConfig(joint=False))
    assert both.decode([*both.encode("old tree"), 2]) == "old tree"


def test_a_vocabulary_of_another_size_is_refused(artefact: Artefact, echo: Echo) -> None:
    model = replace(artefact.config.model, source_vocab=51, target_vocab=51)
    with pytest.raises(UserError, match="50 pieces, but the model's source_vocab is 51"):
        Translator(replace(artefact.config, model=model), artefact.tokenizer_folder, echo)
    with pytest.raises(UserError, match="made for timing"):
        Translator(Artefact.random(artefact.config.model, 1).config, None, echo)


def test_the_device_half_needs_no_training_libraries() -> None:
    code = """
import sys
training = ("torch", "pydantic", "sklearn", "scipy", "psutil", "sacrebleu")
for name in (*training, "onnxruntime", "hat.runtime._native"):
    sys.modules[name] = None
import hat, hat.runtime, hat.hardware, hat.hardware.agent
from hat import Translator
from hat.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer, ModelConfig
from hat.errors import UserError
architecture = Architecture(
    4, Encoder(4, (EncoderLayer(4, 1),)), Decoder(4, (DecoderLayer(4, 1, 1),))
)
artefact = hat.runtime.Artefact.random(ModelConfig(architecture, 9, 9), 1)
try:
    hat.runtime.load_engine("auto", artefact, hat.runtime.EngineSettings(1))
except UserError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[train]" in done.stdout


def test_importing_hat_alone_is_light() -> None:
    code = "import sys, hat; hat.__version__; assert 'numpy' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_a_translation_carries(speaking: Translator) -> None:
    split, empty = speaking.translate([LINES[0], ""], beam=1)
    assert len(split.token_scores) == len(split.tokens) > 3
    assert set(split.token_scores) == {-1.0}
    assert split.milliseconds > 0
    assert (empty.tokens, empty.token_scores, empty.milliseconds) == ((), (), 0)


def test_shares_of_the_time_add_up(speaking: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(translator.time, "perf_counter", lambda: float(next(ticks)))
    found = speaking.translate(LINES[:3], batch=2)
    assert sorted(translation.milliseconds for translation in found) == [500, 500, 1000]


def test_a_line_without_any_hypothesis(artefact: Artefact) -> None:
    class Lost(Echo):
        """An engine whose second sentence has no finite score."""

        def translate(self, sources: Any, options: DecodeOptions) -> Any:
            return [super().translate(sources, options)[0], []]

    lost = Translator(artefact.config, artefact.tokenizer_folder, Lost())
    with pytest.raises(UserError, match="line 3: no translation has a finite score"):
        lost.translate([LINES[0], "", "tree"])


def test_refused_lines_are_named(artefact: Artefact, echo: Echo) -> None:
    short = replace(artefact.config, training_lines=TrainingLines(10))
    refusing = Translator(short, artefact.tokenizer_folder, echo, "refuse")
    nine = "tree" * 2 + "t"
    assert len(refusing._tokenizer.encode(nine)) <= 9
    assert refusing.translate([nine])[0].text == nine
    with pytest.raises(UserError, match=r"line 2: \d+ tokens with </s>; the most are 10"):
        refusing.translate(["tree", LINES[0]])
    assert len(echo.batches) == 1
    with pytest.raises(UserError, match="line 40: "):
        list(refusing.translate_stream(["tree"] * 39 + [LINES[0]], batch=1))
    with pytest.raises(UserError, match="long_input: 'cut'; the choices are split, refuse"):
        Translator(artefact.config, artefact.tokenizer_folder, echo, "cut")


def test_score(speaking: Translator, echo: Echo) -> None:
    pairs = [("tree", "the old tree"), (LINES[0], ""), (LINES[1], "dog")]
    found = speaking.score(pairs, batch=2)
    assert [len(sources) for sources in echo.batches] == [2, 1]
    for (_, target), score in zip(pairs, found, strict=True):
        ids = speaking._tokenizer.encode_target(target)
        assert score.tokens == (*speaking._tokenizer.target_pieces(ids), "</s>")
        assert score.token_scores == tuple(-float(token) for token in (*ids, 2))
        assert score.log_probability == -sum(ids) - 2
        assert score.score == score.log_probability / (len(ids) + 1) ** 0.6
    assert speaking.score([]) == []


def test_score_uses_each_sides_own_tokenizer(
    artefact: Artefact, echo: Echo, tokenizer_folder: Path, tmp_path: Path
) -> None:
    train_tokenizer(tmp_path / "target.model", lines=["zebra zoo zigzag", "quick quiz", *LINES])
    (tmp_path / "source.model").write_bytes((tokenizer_folder / "joint.model").read_bytes())
    config = replace(artefact.config, tokenizer=TokenizerConfig(joint=False))
    two = Translator(config, tmp_path, echo)
    [score] = two.score([("tree", "zebra")])
    assert "".join(score.tokens).startswith("▁ze")
    assert "<unk>" not in score.tokens


def test_pairs_that_cannot_be_scored(speaking: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_input, "MAX_SOURCE_TOKENS", 20)
    monkeypatch.setattr(long_input, "MAX_TARGET_TOKENS", 30)
    with pytest.raises(UserError, match=r"pair 2, source: .* the most are 20"):
        speaking.score([("tree", "tree"), (" ".join(LINES), "tree")])
    with pytest.raises(UserError, match=r"pair 1, target: .* the most are 30"):
        speaking.score([("tree", " ".join(LINES))])
    with pytest.raises(UserError, match="batch: 0"):
        speaking.score([], batch=0)


@pytest.mark.parametrize(("line", "reason"), [(3, "expected text, not int"), ("tree \ud800", "character 6")])
def test_what_is_no_text(speaking: Translator, line: str, reason: str) -> None:
    with pytest.raises(UserError, match=f"line 2: .*{reason}"):
        speaking.translate(["tree", line])
    with pytest.raises(UserError, match=f"pair 1, target: .*{reason}"):
        speaking.score([("tree", line)])


def test_use_after_close(speaking: Translator, echo: Echo) -> None:
    stream = speaking.translate_stream(iter(LINES), batch=1)
    next(stream)
    speaking.close()
    speaking.close()
    assert echo.closed == 1
    for use in (
        lambda: speaking.translate([]),
        lambda: speaking.translate_stream([]),
        lambda: speaking.score([]),
    ):
        with pytest.raises(UserError, match="the translator is closed"):
            use()


def test_several_threads_and_translators(artefact: Artefact) -> None:
    engines = [Echo(), Echo()]
    speaking = [Translator(artefact.config, artefact.tokenizer_folder, engine) for engine in engines]
    lines = [f"{LINES[index % 4]} {'tree ' * (index % 5)}".strip() for index in range(40)]

    def work(number: int) -> list[str]:
        one = speaking[number % 2]
        if number % 4 < 2:
            return [str(found) for found in one.translate(lines[number:], batch=3)]
        return [str(found) for found in one.translate_stream(iter(lines[number:]), batch=3)]

    with ThreadPoolExecutor(8) as pool:
        for number, found in enumerate(pool.map(work, range(16))):
            assert found == lines[number:]


def test_closing_waits_for_what_is_decoded(artefact: Artefact) -> None:
    started, go_on = Event(), Event()

    class Slow(Echo):
        def translate(self, sources: Any, options: DecodeOptions) -> Any:
            started.set()
            assert go_on.wait(10)
            assert not self.closed
            return super().translate(sources, options)

    slow = Slow()
    speaking = Translator(artefact.config, artefact.tokenizer_folder, slow)
    with ThreadPoolExecutor(2) as pool:
        working = pool.submit(speaking.translate, ["tree"])
        assert started.wait(10)
        closing = pool.submit(speaking.close)
        with pytest.raises(TimeoutError):
            closing.result(0.05)
        go_on.set()
        closing.result(10)
        assert str(working.result(10)[0]) == "tree"
    assert slow.closed == 1
