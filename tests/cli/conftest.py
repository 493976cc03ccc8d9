"""Running the command line inside the test's process, and a model to translate with."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import sentencepiece

from hat.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer, ModelConfig
from hat.cli import main
from hat.runtime import Artefact, ArtefactConfig, DecodeOptions, TokenizerConfig

VOCAB = 40
LINES = ("The dog sleeps.", "The old cat runs to a tree.", "A big house stands near the dog.")
ARCHITECTURE = Architecture(8, Encoder(8, (EncoderLayer(16, 2),)), Decoder(8, (DecoderLayer(16, 2, 2),)))


class Result(NamedTuple):
    """The exit code and output of a command."""

    code: int
    out: str
    err: str


Hat = Callable[..., Result]


@pytest.fixture
def hat(capsys: pytest.CaptureFixture[str]) -> Hat:
    """Run `hat` with some arguments."""

    def run(*arguments: object) -> Result:
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        code = stop.value.code
        return Result(code if isinstance(code, int) else 0, *capsys.readouterr())

    return run


def give(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Put `content` on standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artefact that babbles."""
    folder = tmp_path_factory.mktemp("model")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES * 5),
        model_prefix=str(folder / "joint"),
        vocab_size=VOCAB,
        model_type="bpe",
        bos_id=0,
        pad_id=1,
        eos_id=2,
        unk_id=3,
        minloglevel=2,
    )
    config = ArtefactConfig(
        ModelConfig(ARCHITECTURE, VOCAB, VOCAB),
        "en",
        "de",
        decode=DecodeOptions(beam=2, max_length_offset=8),
        tokenizer=TokenizerConfig(),
    )
    weights = Artefact.random(config.model, 1).weights
    Artefact(config, weights, folder).save(folder / "artefact")
    return folder / "artefact"
