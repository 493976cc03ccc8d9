"""A run small enough to train in seconds."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hat.architecture import AnyArchitecture, cost
from hat.progress import Progress, silent

TRAINING = {"batch_tokens": 1000, "warmup": 2, "validate_every": 5, "checkpoint_every": 3}

TINY: dict[str, Any] = {
    "name": "tiny",
    "data": {
        "corpus": "builtin",
        "builtin": {"train": 2000, "valid": 40, "test": 20},
        "vocabulary": {"size": 500},
    },
    "space": {
        "encoder_embed_dim": [32, 16],
        "decoder_embed_dim": [32, 16],
        "encoder_layers": [2, 1],
        "decoder_layers": [2, 1],
        "encoder_ffn_dim": [64, 32],
        "encoder_heads": [4, 2],
        "decoder_ffn_dim": [64, 32],
        "decoder_self_heads": [4, 2],
        "decoder_cross_heads": [4, 2],
        "encoder_layers_attended": [1, 2],
        "qkv_dim": [32],
    },
    "super_training": {**TRAINING, "updates": 20},
    "sub_training": {**TRAINING, "updates": 5},
    "baseline_training": {**TRAINING, "updates": 5},
    "measure": {"samples": 12, "rounds": 2, "verify_rounds": 2},
    "search": {
        "constraints": ["70%"],
        "population": 6,
        "parents": 3,
        "mutations": 2,
        "crossovers": 2,
        "iterations": 3,
        "validation_sentences": 10,
        "remeasure": 3,
    },
    "baselines": [
        {
            "name": "base",
            "encoder_layers": 2,
            "decoder_layers": 2,
            "embed_dim": 32,
            "ffn_dim": 64,
            "heads": 4,
        }
    ],
    "evaluate": {"beam": 1},
}

# All steps of the tiny run, in their order.
STEPS = [
    "prepare",
    "train-super",
    "measure",
    "fit",
    "search/hat-70pct",
    "train/base",
    "train/hat-70pct",
    "train/largest",
    "train/smallest",
    "evaluate/base",
    "evaluate/hat-70pct",
    "evaluate/largest",
    "evaluate/smallest",
    "evaluate/latencies",
]


def flops_timer(architecture: AnyArchitecture, pair: tuple[int, int]) -> float:
    """A device whose latency (ms) is known without running anything."""
    return cost(architecture).flops / 1e4 * pair[1] / 30


class Recorder:
    """A Reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.worked: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)

    @contextmanager
    def working(self, name: str) -> Iterator[Progress]:
        self.worked.append(name)
        yield silent
