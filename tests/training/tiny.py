"""A tiny task: the target is the source reversed."""

import random
from pathlib import Path

from hat.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer, ModelConfig
from hat.data import TokenStore, write_store
from hat.model import TranslationModel
from hat.training import Lesson, Lessons, TrainingSettings, write_soft_labels

VOCAB = 16
ARCHITECTURE = Architecture(
    32, Encoder(32, (EncoderLayer(64, 4),)), Decoder(32, (DecoderLayer(64, 4, 4, 1),))
)
CONFIG = ModelConfig(ARCHITECTURE, VOCAB, VOCAB)


def stores(folder: Path, count: int = 400) -> tuple[TokenStore, TokenStore]:
    rng = random.Random(0)
    sources = [[rng.randrange(4, VOCAB) for _ in range(rng.randint(2, 6))] for _ in range(count + 40)]
    targets = [source[::-1] for source in sources]
    train = write_store(folder / "train", [(sources[:count], targets[:count])], (VOCAB, VOCAB))
    valid = write_store(folder / "valid", [(sources[count:], targets[count:])], (VOCAB, VOCAB))
    return train, valid


def lessons(teacher: TranslationModel, folder: Path, text: TokenStore, valid: TokenStore) -> Lessons:
    """What a teacher says of both texts; written once."""
    taught, judged = (
        Lesson(write_soft_labels(teacher, one, folder / name, 3), 0.5)
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
