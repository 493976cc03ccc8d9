"""Measuring latency: interleaved randomised rounds, with a reference model that tells of drift."""

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hat.architecture import Architecture, ModelConfig
from hat.hardware.decoding import Decoding, Timer, wall_clock
from hat.hardware.environment import environment
from hat.hardware.protocol import MeasureProtocol
from hat.hardware.store import MeasurementStore, Record, model_key
from hat.progress import Progress, silent

# Models timed together: enough to spread drift over many, little enough to hold in memory.
BLOCK = 8
NOISY = 0.10


@dataclass(frozen=True)
class Measurement:
    """The latency of one model, in milliseconds per sentence.

    `latency_ms`: median over `runs` rounds after correction for drift; `iqr_ms`: its interquartile
    range. `raw_ms`: the median without correction. `reference_ms`: the reference model's median
    over the whole measurement, and `noise` its interquartile range relative to it.
    """

    architecture: Architecture
    latency_ms: float
    iqr_ms: float
    runs: int
    raw_ms: float
    reference_ms: float
    noise: float

    @property
    def too_noisy(self) -> bool:
        """Whether the machine was too unsteady for the figure to be trusted."""
        return self.noise > NOISY


def measure(
    models: Sequence[ModelConfig],
    protocol: MeasureProtocol,
    folder: Path,
    *,
    reference: ModelConfig | None = None,
    timer: Timer = wall_clock,
    seed: int = 0,
    progress: Progress = silent,
) -> list[Measurement]:
    """Time models with random weights in the deployed engine; results in the order of `models`.

    Each block of models and the `reference` (by default the first model; best the largest) is timed
    in `protocol.rounds` rounds of random order, in which the reference comes twice: its noise goes
    into all of the block's figures. A finished block is on disk in `folder` before the
    next begins, and models measured there under the same protocol are not measured again. Raises
    UserError where `folder` belongs to another machine.
    """
    if not models:
        return []
    reference = reference or models[0]
    store = MeasurementStore(folder)
    store.describe(environment(), protocol)
    keys = [(model_key(model), protocol.digest(), model_key(reference)) for model in models]
    done = {record.key for record in store.records}
    pending = {key: model for key, model in zip(keys, models, strict=True) if key not in done}
    waiting = list(pending.values())
    for start in range(0, len(waiting), BLOCK):
        block = waiting[start : start + BLOCK]
        progress(len(models) - len(waiting) + start, len(models), "models measured")
        order = random.Random(f"{seed} {model_key(block[0])}")
        store.append(_time_block(block, reference, protocol, timer, order))
    progress(len(models), len(models), "models measured")
    return _summarise(models, [record for record in store.records if record.key[1:] == keys[0][1:]])


def _time_block(
    block: Sequence[ModelConfig],
    reference: ModelConfig,
    protocol: MeasureProtocol,
    timer: Timer,
    order: random.Random,
) -> list[Record]:
    subjects = [Decoding(model, protocol) for model in (*block, reference)]
    subjects.append(subjects[-1])
    architectures = [model.architecture for model in (*block, reference, reference)]
    times: list[list[float]] = [[] for _ in subjects]
    try:
        for subject, architecture in zip(subjects, architectures, strict=True):
            for _ in range(protocol.warmup):
                timer(subject, architecture)
        for _ in range(protocol.rounds):
            for index in order.sample(range(len(subjects)), len(subjects)):
                taken = timer(subjects[index], architectures[index])
                times[index].append(taken / protocol.sentences)
    finally:
        for subject in subjects:
            subject.close()
    reference_ms = [statistics.fmean(twice) for twice in zip(*times[-2:], strict=True)]
    return [
        Record(
            model_key(model),
            protocol.digest(),
            model_key(reference),
            model.architecture.to_dict(),
            len(block),
            place,
            times[place],
            reference_ms,
        )
        for place, model in enumerate(block)
    ]


def _summarise(models: Sequence[ModelConfig], records: Sequence[Record]) -> list[Measurement]:
    """Divide out the drift: each round's times by how far off its reference was."""
    rounds = [taken for record in records if not record.place for taken in record.reference_ms]
    level = statistics.median(rounds)
    noise = _iqr(rounds) / level
    own = {record.model: record for record in records}
    return [_corrected(model, own[model_key(model)], level, noise) for model in models]


def _corrected(model: ModelConfig, record: Record, level: float, noise: float) -> Measurement:
    times = [
        taken * (level / reference)
        for taken, reference in zip(record.times_ms, record.reference_ms, strict=True)
    ]
    return Measurement(
        model.architecture,
        statistics.median(times),
        _iqr(times),
        len(times),
        statistics.median(record.times_ms),
        level,
        noise,
    )


def _iqr(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    lower, _, upper = statistics.quantiles(values, method="inclusive")
    return upper - lower
