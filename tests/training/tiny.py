"""A tiny task: the target is the source reversed."""

import random
from pathlib import Path

import torch

from hat.architecture import (
    Architecture,
    Decoder,
    DecoderLayer,
    Encoder,
    EncoderLayer,
    EvolvedArchitecture,
    ModelConfig,
)
from hat.data import TokenStore, write_store
from hat.model import Dropout, SuperTransformer, Transformer, TranslationModel, build
from hat.space import DesignSpace
from hat.training import (
    Lesson,
    Lessons,
    SubTrainee,
    SuperTrainee,
    TrainingSettings,
    UniformSampling,
    write_soft_labels,
)
from tests.pipeline.tiny import TINY

VOCAB = 16
ARCHITECTURE = Architecture(
    32, Encoder(32, (EncoderLayer(64, 4),)), Decoder(32, (DecoderLayer(64, 4, 4, 1),))
)
CONFIG = ModelConfig(ARCHITECTURE, VOCAB, VOCAB)
RESULTS = ("model.safetensors", "training.json")
SPACE = DesignSpace.from_dict(TINY["space"], "tiny")


def stores(folder: Path, count: int = 400) -> tuple[TokenStore, TokenStore]:
    rng = random.Random(0)
    sources = [[rng.randrange(4, VOCAB) for _ in range(rng.randint(2, 6))] for _ in range(count + 40)]
    targets = [source[::-1] for source in sources]
    train = write_store(folder / "train", [(sources[:count], targets[:count])], (VOCAB, VOCAB))
    valid = write_store(folder / "valid", [(sources[count:], targets[count:])], (VOCAB, VOCAB))
    return train, valid


def lessons(teacher: TranslationModel, folder: Path, text: TokenStore, valid: TokenStore) -> Lessons:
    """A teacher's labels of both texts; written once."""
    taught, judged = (
        Lesson(write_soft_labels(teacher, one, folder=folder / name, top_k=3, temperature=1.0), 0.5)
        for name, one in (("train-labels", text), ("valid-labels", valid))
    )
    return taught, judged


def settings(**changes: object) -> TrainingSettings:
    values = {
        "updates": 30,
        "batch_tokens": 200,
        "warmup": 5,
        "learning_rate": 3e-3,
        "validate_every": 7,
        "checkpoint_every": 4,
        "average": 2,
        "dropout": 0.1,
        "precision": "fp32",
    }
    return TrainingSettings.model_validate(values | changes)


def sub(dropout: float = 0.1) -> SubTrainee:
    torch.manual_seed(0)
    return SubTrainee(Transformer(CONFIG, Dropout(dropout)))


def evolved(dropout: float = 0.1) -> SubTrainee:
    torch.manual_seed(0)
    config = ModelConfig(EvolvedArchitecture(16, 2, 1, 1), VOCAB, VOCAB)
    return SubTrainee(build(config, Dropout(dropout, dropout)))


def supernet(dropout: float = 0.1) -> SuperTrainee:
    torch.manual_seed(0)
    config = type(CONFIG)(SPACE.largest(), VOCAB, VOCAB)
    return SuperTrainee(SuperTransformer(config, Dropout(dropout)), UniformSampling(SPACE), SPACE.smallest())
