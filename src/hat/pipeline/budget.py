"""Sizes for a text and a time at hand: vocabulary, design space, updates."""

import time
from dataclasses import dataclass
from typing import NamedTuple

import torch

from hat.architecture import Architecture, ModelConfig, cost
from hat.model import build
from hat.pipeline.text_survey import Survey
from hat.training import TrainingSettings, label_smoothed_loss
from hat.training.device import autocast, training_device
from hat.zoo import space

# Sentence pairs up to which a vocabulary of so many pieces is enough; more pieces only where there is text to
# learn their embeddings from.
VOCABULARIES = ((10_000, 2000), (50_000, 4000), (500_000, 8000), (5_000_000, 16_000))
LARGEST_VOCABULARY = 32_000
# Pieces a word, in such vocabularies.
PIECES = 1.4


class Scale(NamedTuple):
    """A design space, the sentence pairs from which on it is worth it, and how its networks are trained."""

    space: str
    fewest_pairs: int
    learning_rate: float
    batch_tokens: int


# From the smallest.
SCALES = (
    Scale("demo", 0, 0.003, 1200),
    Scale("multi30k", 10_000, 0.002, 2048),
    Scale("iwslt-space1", 100_000, 0.001, 4096),
    Scale("wmt-space0", 1_000_000, 0.001, 4096),
)
# Shares of the time. The rest is for text, measuring, search, scoring.
SUPER, FOUND, BASELINE = 0.40, 0.25, 0.15
# A SubTransformer drawn at random does this share of the largest one's work.
MEAN_WORK = 0.6
# A space is worth it if its SuperTransformer sees the text so often; more often than that nothing is gained.
FEWEST_EPOCHS, MOST_EPOCHS = 5, 40
FEWEST_UPDATES = 100
TRIAL_TOKENS, TRIAL_LENGTH, TRIAL_VOCABULARY = 1024, 16, 4000
TRIAL_SPACE = "multi30k"


@dataclass(frozen=True)
class Budget:
    """What a recipe's sections say. `epochs`: of the SuperTransformer's training; `tokens_per_second`: what
    this machine trains of the largest network."""

    scale: Scale
    largest: Architecture
    vocabulary: int
    super_updates: int
    found_updates: int
    baseline_updates: int
    epochs: float
    tokens_per_second: float

    @property
    def too_short(self) -> bool:
        """Whether the time is not enough for a model that translates."""
        return self.epochs < 1


def plan(text: Survey, minutes: float, work_per_second: float) -> Budget:
    """The largest design space whose SuperTransformer sees the text FEWEST_EPOCHS times in its share of
    `minutes`, or else the smallest one. `work_per_second`: see `measured_speed`."""
    vocabulary = _vocabulary(text)
    tokens = text.pairs * text.words * PIECES
    worth_it = [scale for scale in reversed(SCALES) if text.pairs >= scale.fewest_pairs]
    for scale in worth_it:
        largest = space(scale.space).largest()
        speed = work_per_second / _work(largest, vocabulary)
        seen = 60 * minutes * speed / MEAN_WORK
        if SUPER * seen >= FEWEST_EPOCHS * tokens:
            break

    def updates(share: float) -> int:
        return max(FEWEST_UPDATES, round(min(share * seen, MOST_EPOCHS * tokens) / scale.batch_tokens))

    whole = updates(SUPER)
    epochs = min(SUPER * seen, whole * scale.batch_tokens) / tokens
    baseline = updates(BASELINE * MEAN_WORK)  # which is about as large as the largest
    return Budget(scale, largest, vocabulary, whole, updates(FOUND), baseline, epochs, speed)


def measured_speed() -> float:
    """Multiply-accumulates a second that this machine trains with, as `_work` counts them: a few updates of
    a middling network on random tokens, some seconds."""
    architecture = space(TRIAL_SPACE).largest()
    model = build(ModelConfig(architecture, TRIAL_VOCABULARY, TRIAL_VOCABULARY, "shared"))
    device = training_device()
    model.to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    settings = TrainingSettings.model_validate({"updates": 1})
    shape = (TRIAL_TOKENS // TRIAL_LENGTH, TRIAL_LENGTH)
    tokens = torch.randint(4, TRIAL_VOCABULARY, shape, device=device)
    times = []
    for _ in range(4):
        started = time.perf_counter()
        with autocast(settings):
            loss = label_smoothed_loss(model(tokens, tokens), tokens, 0.1)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        loss.item()
        times.append(time.perf_counter() - started)
    return TRIAL_TOKENS * _work(architecture, TRIAL_VOCABULARY) / min(times[1:])


def _work(architecture: Architecture, vocabulary: int) -> float:
    """Multiply-accumulates for a target token and its source token, output projection included."""
    length = 30
    return cost(architecture, length).flops / 2 / length + architecture.decoder.embed_dim * vocabulary


def _vocabulary(text: Survey) -> int:
    wanted = next((size for pairs, size in VOCABULARIES if text.pairs < pairs), LARGEST_VOCABULARY)
    # No more pieces than the text has: each character, and words to merge them into.
    return max(text.characters + 50, min(wanted, text.distinct_words))
