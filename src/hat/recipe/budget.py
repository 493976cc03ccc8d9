"""The sizes that suit a text and the available time: vocabulary, design space, updates."""

import time
from dataclasses import dataclass
from typing import NamedTuple

import torch

from hat.architecture import Architecture, ModelConfig, cost
from hat.model import build
from hat.recipe.text_survey import Survey
from hat.training import TrainingSettings, label_smoothed_loss
from hat.training.accelerator import accelerator, autocast
from hat.zoo import space

# Sentence pairs → pieces of a vocabulary that is large enough for so many; more pieces need more text to
# learn their embeddings from.
VOCABULARIES = ((10_000, 2000), (50_000, 4000), (500_000, 8000), (5_000_000, 16_000))
LARGEST_VOCABULARY = 32_000
# Pieces per word in such vocabularies.
PIECES = 1.4


class Scale(NamedTuple):
    """A design space, the sentence pairs from which it is worthwhile, and the training of its networks."""

    space: str
    fewest_pairs: int
    learning_rate: float
    batch_tokens: int


# From the smallest to the largest.
SCALES = (
    Scale("demo", 0, 0.003, 1200),
    Scale("multi30k", 10_000, 0.002, 2048),
    Scale("iwslt-space1", 100_000, 0.001, 4096),
    Scale("wmt-space0", 1_000_000, 0.001, 4096),
)
# Shares of the time. The rest is for preparing text, measuring, searching and scoring.
SUPER, FOUND, BASELINE = 0.40, 0.25, 0.15
# The mean work of a random SubTransformer, as a share of the largest one's.
MEAN_WORK = 0.6
# Epochs that the SuperTransformer needs for a space to be worthwhile, and epochs after which it gains
# nothing.
FEWEST_EPOCHS, MOST_EPOCHS = 5, 40
FEWEST_UPDATES = 100
TRIAL_TOKENS, TRIAL_LENGTH, TRIAL_VOCABULARY = 1024, 16, 4000
TRIAL_SPACE = "multi30k"


@dataclass(frozen=True)
class Budget:
    """The content of a recipe's sections. `epochs`: of the SuperTransformer's training; `tokens_per_second`:
    this machine's speed of training the largest network."""

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
        """True if the time is not enough for a model that translates."""
        return self.epochs < 1


def plan(text: Survey, minutes: float, work_per_second: float) -> Budget:
    """The largest design space whose SuperTransformer sees the text FEWEST_EPOCHS times in its share of
    `minutes`, or else the smallest space. `work_per_second`: as `measured_speed` gives it."""
    vocabulary = _vocabulary(text)
    tokens = text.pairs * text.words * PIECES
    worth_it = [scale for scale in reversed(SCALES) if text.pairs >= scale.fewest_pairs]
    for scale in worth_it:
        largest = space(scale.space).largest()
        speed = work_per_second / _macs_per_token(largest, vocabulary)
        seen = 60 * minutes * speed / MEAN_WORK
        if SUPER * seen >= FEWEST_EPOCHS * tokens:
            break

    def updates(share: float) -> int:
        return max(FEWEST_UPDATES, round(min(share * seen, MOST_EPOCHS * tokens) / scale.batch_tokens))

    whole = updates(SUPER)
    epochs = min(SUPER * seen, whole * scale.batch_tokens) / tokens
    baseline = updates(BASELINE * MEAN_WORK)  # about as large as the largest SubTransformer
    return Budget(
        scale,
        largest,
        vocabulary=vocabulary,
        super_updates=whole,
        found_updates=updates(FOUND),
        baseline_updates=baseline,
        epochs=epochs,
        tokens_per_second=speed,
    )


def measured_speed() -> float:
    """This machine's training speed in multiply-accumulates per second, counted as by `_work`: measured in a
    few updates of a middle-sized network on random tokens, in some seconds."""
    architecture = space(TRIAL_SPACE).largest()
    model = build(ModelConfig(architecture, TRIAL_VOCABULARY, TRIAL_VOCABULARY, embeddings="shared"))
    device = accelerator()
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
    return TRIAL_TOKENS * _macs_per_token(architecture, TRIAL_VOCABULARY) / min(times[1:])


def _macs_per_token(architecture: Architecture, vocabulary: int) -> float:
    """Multiply-accumulates for one target token and one source token, output projection included."""
    length = 30
    return cost(architecture, length).flops / 2 / length + architecture.decoder.embed_dim * vocabulary


def _vocabulary(text: Survey) -> int:
    wanted = next((size for pairs, size in VOCABULARIES if text.pairs < pairs), LARGEST_VOCABULARY)
    # No more pieces than the text can fill: its characters, and pieces merged from its words.
    return max(text.characters + 50, min(wanted, text.distinct_words))
