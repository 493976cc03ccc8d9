"""A training in a process of its own: what it was predicted to take, and what it took.

python -m tests.training.memory_worker SPACE VOCABULARY BATCH_TOKENS LENGTH PRECISION RECOMPUTES
Prints two numbers of bytes.
"""

import random
import sys
import tempfile
from pathlib import Path

import torch

from hat import zoo
from hat.architecture import ModelConfig
from hat.data import TokenStore, collate, sequential_batches, write_store
from hat.hardware.agent.environment import peak_bytes, resident_bytes
from hat.model import Dropout, build
from hat.training import SubTrainee, TrainingSettings, Updater
from hat.training.journal import Position
from hat.training.loop import predicted_need
from hat.training.memory import kept_memory

UPDATES = 3


def text(folder: Path, vocabulary: int, length: int) -> TokenStore:
    rng = random.Random(0)
    sentences = [
        [rng.randrange(4, vocabulary) for _ in range(rng.randint(length - 3, length))] for _ in range(600)
    ]
    return write_store(folder, [(sentences, sentences)], (vocabulary, vocabulary))


def main(
    space: str, vocabulary: int, batch_tokens: int, length: int, precision: str, recomputes: bool
) -> None:
    torch.set_num_threads(1)
    config = ModelConfig(zoo.space(space).largest(), vocabulary, vocabulary)
    trainee = SubTrainee(build(config, Dropout(0.1)))
    settings = TrainingSettings.model_validate(
        {
            "updates": UPDATES,
            "batch_tokens": batch_tokens,
            "precision": precision,
            "activation_checkpointing": recomputes,
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        store = text(Path(folder, "text"), vocabulary, length)
        updater, position = Updater(trainee, settings), Position()
        before = resident_bytes()
        need = predicted_need(updater, store, position).bytes()
        largest = max(
            sequential_batches(store, batch_tokens), key=lambda rows: int(store.target_lengths[rows].sum())
        )
        with kept_memory():
            for _ in range(UPDATES):
                batch = collate(store, largest)
                updater.compute_gradients([batch], position)
                updater.step(batch.target_tokens, position)
                position.update += 1
    print(round(need), peak_bytes() - before)


if __name__ == "__main__":
    space, vocabulary, batch_tokens, length, precision, recomputes = sys.argv[1:]
    main(space, int(vocabulary), int(batch_tokens), int(length), precision, recomputes == "yes")
