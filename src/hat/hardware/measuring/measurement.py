"""From a model's raw timings to its latency with its interval, and the noise of the device."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hat.architecture import AnyArchitecture, ModelConfig
from hat.hardware.measuring.store import Record, model_key
from hat.hardware.protocol import MeasureProtocol
from hat.intervals import Array, relative_times, series_interval

NOISY = 0.10  # of a calibration's calls
# A latency is not trusted beyond these: half its interval, as a share of it, and the share of rounds that
# other work disturbed.
UNSURE, DISTURBED = 0.05, 0.5


@dataclass(frozen=True)
class Measurement:
    """The latency of one model, in milliseconds per sentence.

    `latency_ms`: `reference_ms` times the median, over `runs` rounds, of the model's time relative to the
    reference model's in the same round, with its 95% confidence interval and interquartile range; so latency
    and interval divided by `reference_ms` are the ratio to the reference in these rounds.
    `raw_ms`: the median of the times as the clock gave them. `pairs`, `pairs_ms`: the latency for each
    (source, target) length. `encoder_ms`: encoder and first step; `step_ms`: each further step.
    `reference_ms`: the reference model's median over the whole series; `noise`: the interquartile range of
    its calls relative to that median. `disturbed`: the share of rounds in which other work took the core.
    `memory_bytes`, `energy_j`: as in `Record`.
    """

    architecture: AnyArchitecture
    latency_ms: float
    low_ms: float
    high_ms: float
    iqr_ms: float
    runs: int
    raw_ms: float
    pairs: tuple[tuple[int, int], ...]
    pairs_ms: tuple[float, ...]
    encoder_ms: float
    step_ms: float
    reference_ms: float
    noise: float
    disturbed: float
    memory_bytes: int | None
    energy_j: float | None

    @property
    def too_noisy(self) -> bool:
        """True if the machine was too unsteady, or too busy with other work, for the figure to be trusted."""
        half_width = (self.high_ms - self.low_ms) / 2
        return half_width > UNSURE * self.latency_ms or self.disturbed > DISTURBED


def summarise(
    models: Sequence[ModelConfig], records: Mapping[str, Record], protocol: MeasureProtocol
) -> list[Measurement]:
    """The measurements of models from their series' records, by model."""
    level, noise = _steadiness(records)
    return [_measurement(model, records[model_key(model)], protocol, level, noise) for model in models]


def _steadiness(records: Mapping[str, Record]) -> tuple[float, float]:
    """The reference's median round over the whole series, and the spread of its calls. A round counts once
    for each model that was timed in it; that number is the same for all models of a block."""
    calls = np.concatenate([np.asarray(record.reference_ms, float) for record in records.values()])
    level = float(np.median(calls.mean(axis=1)))
    return level, _iqr(np.ravel(calls)) / level


def _measurement(
    model: ModelConfig, record: Record, protocol: MeasureProtocol, level: float, noise: float
) -> Measurement:
    times = level * relative_times(record.pairs_ms, record.reference_ms)
    scale = level / np.asarray(record.reference_ms, float).mean(axis=1, keepdims=True)
    pairs_ms = np.median(np.array(record.pairs_ms) * scale, axis=0)
    first_ms = np.median(np.array(record.first_ms) * scale[: len(record.first_ms)], axis=0)
    steps = np.array(protocol.target_lengths) - 1
    low, high = series_interval(times)
    return Measurement(
        model.architecture,
        float(np.median(times)),
        low_ms=low,
        high_ms=high,
        iqr_ms=_iqr(times),
        runs=len(times),
        raw_ms=float(np.median(np.mean(record.pairs_ms, axis=1))),
        pairs=protocol.pairs,
        pairs_ms=tuple(pairs_ms.tolist()),
        encoder_ms=float(first_ms.mean()),
        step_ms=float((pairs_ms - first_ms).sum() / max(steps.sum(), 1)),
        reference_ms=level,
        noise=noise,
        disturbed=record.disturbed / len(times),
        memory_bytes=record.memory_bytes,
        energy_j=record.energy_j,
    )


def _iqr(values: Array) -> float:
    lower, upper = np.quantile(values, (0.25, 0.75))
    return float(upper - lower)
