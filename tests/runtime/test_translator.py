"""The Translator over an engine that echoes its source, so that every routing error shows."""

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hat.errors import UserError
from hat.runtime import (
    Artefact,
    DecodeOptions,
    EngineSettings,
    Hypothesis,
    Tokenizer,
    TokenizerConfig,
    Translator,
    load_engine,
    translator,
)
from tests.runtime.tiny_tokenizer import LINES, train_tokenizer


class Echo:
    """Translates every sentence into itself; the r-th best hypothesis repeats it r times."""

    name = "echo"

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.options: list[DecodeOptions] = []
        self.closed = False

    def translate(self, sources: Sequence[Sequence[int]], options: DecodeOptions) -> list[list[Hypothesis]]:
        self.batches.append([len(source) for source in sources])
        self.options.append(options)
        assert all(source[-1] == 2 and len(source) > 1 for source in sources)
        return [[self._repeat(source, rank) for rank in range(1, options.nbest + 1)] for source in sources]

    def _repeat(self, source: Sequence[int], times: int) -> Hypothesis:
        tokens = (*(tuple(source[:-1]) * times), 2)
        return Hypothesis(tokens, -float(times), (-float(times),) * len(tokens))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def speaking(artefact: Artefact, echo: Echo) -> Translator:
    return Translator(artefact, echo)


@pytest.fixture
def run_folder(artefact: Artefact, echo: Echo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(translator, "load_engine", lambda name, artefact, threads: echo)
    artefact.save(tmp_path / "export" / "fast")
    artefact.save(tmp_path / "export" / "good")
    models = {"fast": "export/fast", "good": "export/good"}
    (tmp_path / "models.json").write_text(json.dumps({"default": "fast", "models": models}))
    return tmp_path


def test_order_empty_lines_and_batches(speaking: Translator, echo: Echo) -> None:
    lines = [LINES[0], "", LINES[1] + " " + LINES[2], "  \t", "tree", *LINES]
    found = speaking.translate(lines, batch=3)
    assert [str(translation) for translation in found] == [" ".join(line.split()) for line in lines]
    lengths = list(itertools.chain(*echo.batches))
    assert lengths == sorted(lengths, reverse=True)
    assert [len(batch) for batch in echo.batches] == [3, 3, 1]
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


def test_long_lines_are_split_at_sentences(
    speaking: Translator, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translator, "MAX_SOURCE_TOKENS", 60)
    [found] = speaking.translate([" ".join(LINES)], nbest=2)
    assert found.text == " ".join(LINES)
    assert len(echo.batches[0]) > 1
    assert max(echo.batches[0]) <= 60
    assert len(found.alternatives) == 1
    parts = speaking._split(speaking._tokenizer.encode(" ".join(LINES)))
    assert {speaking._tokenizer.decode(part)[-1] for part in parts} <= set(".!?")


def test_a_line_without_any_boundary_is_split_at_the_limit(
    speaking: Translator, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translator, "MAX_SOURCE_TOKENS", 10)
    [found] = speaking.translate(["tree" * 20])
    assert found.text.replace(" ", "") == "tree" * 20
    assert max(itertools.chain(*echo.batches)) == 10


def test_stream_is_lazy_and_bounded(speaking: Translator) -> None:
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        for taken in itertools.count(1):
            yield LINES[taken % 4]

    stream = speaking.translate_stream(endless(), batch=2)
    found = [str(translation) for translation in itertools.islice(stream, 50)]
    assert found == [LINES[index % 4] for index in range(1, 51)]
    assert taken <= 50 + 2 * translator.WINDOW_BATCHES


def test_a_run_folder_holds_several_models(run_folder: Path, echo: Echo) -> None:
    with Translator.load(run_folder) as default:
        assert default.artefact.tokenizer_folder == run_folder / "export/fast/tokenizer"
    assert echo.closed
    other = Translator.load(str(run_folder), model="good", threads=1)
    assert other.artefact.tokenizer_folder == run_folder / "export/good/tokenizer"
    assert str(Translator.load(run_folder / "export/good").translate(["tree"])[0]) == "tree"
    with pytest.raises(UserError, match="no model is called 'best'; the models are fast, good"):
        Translator.load(run_folder, model="best")
    with pytest.raises(UserError, match="single model"):
        Translator.load(run_folder / "export/good", model="good")
    with pytest.raises(UserError, match="neither an artefact nor a run folder"):
        Translator.load(run_folder / "export")


@pytest.mark.parametrize(
    "damage", [lambda content: b"", lambda content: content[:50], lambda content: b"\xff" * 100]
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
        Translator(replace(artefact, config=replace(artefact.config, model=model)), echo)
    with pytest.raises(UserError, match="made for timing"):
        Translator(Artefact.random(artefact.config.model, 1), echo)


def test_unknown_engine_and_threads(artefact: Artefact) -> None:
    with pytest.raises(
        UserError, match="no engine is called 'abacus'; the engines are auto, native, onnxruntime, torch"
    ):
        load_engine("abacus", artefact, EngineSettings(1))
    with pytest.raises(UserError, match="threads: 0"):
        load_engine("auto", artefact, EngineSettings(0))


def test_the_device_half_needs_no_training_libraries() -> None:
    code = """
import sys
for name in ("torch", "pydantic", "sklearn", "scipy", "psutil", "sacrebleu"):
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
