"""A tiny tokenizer and artefact, shared by the runtime's tests."""

from pathlib import Path

import pytest

from hat.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer, ModelConfig
from hat.runtime import Artefact, ArtefactConfig, DecodeOptions, TokenizerConfig, Translator
from tests.runtime.echo import Echo
from tests.runtime.tiny_tokenizer import VOCAB, train_tokenizer


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(folder / "joint.model")
    return folder


@pytest.fixture(scope="session")
def model_config() -> ModelConfig:
    architecture = Architecture(
        8,
        Encoder(8, (EncoderLayer(12, 2), EncoderLayer(16, 4))),
        Decoder(6, (DecoderLayer(10, 2, 4, 2),)),
    )
    return ModelConfig(architecture, VOCAB, VOCAB, encoder_super_dim=10, decoder_super_dim=6)


@pytest.fixture
def artefact(model_config: ModelConfig, tokenizer_folder: Path) -> Artefact:
    config = ArtefactConfig(
        model_config,
        "en",
        "de",
        decode=DecodeOptions(beam=4, length_penalty=0.6, max_length_factor=1.5),
        tokenizer=TokenizerConfig(),
        provenance={"recipe": "none"},
    )
    return Artefact(config, Artefact.random(model_config, 1).weights, tokenizer_folder)


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def speaking(artefact: Artefact, echo: Echo) -> Translator:
    return Translator(artefact.config, artefact.tokenizer_folder, echo)
