"""The choice of the architectures to measure, and of their number.

The paper measures 2,000 random architectures. Here half of each block is designed: first the ends of the
space, then always the architecture whose prediction by a linear predictor is least certain after those chosen
before (the D-optimal sequence: extremes and main effects come by themselves). The other half is random, like
the candidates of a search; only these judge the predictor.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, repeat
from math import pi, sqrt

import numpy as np

from hat.architecture import Architecture, ModelConfig
from hat.hardware.device.bench import Bench
from hat.hardware.measuring.measure import BLOCK, Series, measure
from hat.hardware.measuring.measurement import Measurement
from hat.intervals import Array, standard_error
from hat.predictor.features import features
from hat.predictor.predictor import CostPredictor
from hat.progress import Progress, silent
from hat.space import DesignSpace

POOL = 512  # candidates for the designed ones
RIDGE = 1e-3  # the precision of a feature's weight before anything is measured
TRIES = 50  # draws of an architecture that was chosen before: tiny spaces run out
FEWEST = 3 * BLOCK
MEAN_ERROR = sqrt(2 / pi)  # the mean absolute value of a normal error, in standard errors


@dataclass(frozen=True)
class Sampled:
    """A measured architecture. `judged`: it was drawn at random, so its held-out error counts."""

    measurement: Measurement
    judged: bool


def measure_until_predictable(
    space: DesignSpace,
    model: Callable[[Architecture], ModelConfig],
    series: Series,
    bench: Bench,
    *,
    most: int,
    target_mape: float | None,
    seed: int,
    progress: Progress = silent,
) -> list[Sampled]:
    """Measure block after block until `most` architectures are measured, or the held-out error of a predictor
    fitted to them is at most `target_mape` % (None: no target) or explained by the measurements' noise."""

    def of_most(done: float, _: float, note: str) -> None:
        progress(done, most, note)

    sequence = design(space, seed)
    chosen: list[tuple[Architecture, bool]] = []
    while True:
        block = list(islice(sequence, min(BLOCK, most - len(chosen))))
        chosen += block
        models = [model(architecture) for architecture, _ in chosen]
        measured = measure(models, series, bench, seed=seed, progress=of_most)
        sampled = [Sampled(one, judged) for one, (_, judged) in zip(measured, chosen, strict=True)]
        enough = target_mape is not None and _is_good_enough(sampled, target_mape, seed)
        if enough or len(block) < BLOCK or len(sampled) >= most:
            progress(most, most, f"{len(sampled)} models measured")
            return sampled


def _is_good_enough(sampled: list[Sampled], target_mape: float, seed: int) -> bool:
    return len(sampled) >= FEWEST and fit(sampled, seed).report.mape <= max(target_mape, noise_floor(sampled))


def fit(sampled: Sequence[Sampled], seed: int) -> CostPredictor:
    """The predictor of sampled architectures at each pair of lengths, judged by the random ones."""
    rows = [
        (sample.measurement.architecture, pair, ms, sample.judged)
        for sample in sampled
        for pair, ms in zip(sample.measurement.pairs, sample.measurement.pairs_ms, strict=True)
    ]
    architectures, pairs, latencies, judged = zip(*rows, strict=True)
    return CostPredictor.fit(architectures, latencies, seed=seed, pairs=pairs, judged=judged)


def noise_floor(sampled: list[Sampled]) -> float:
    """Error in % that a perfect predictor would have, since the measurements themselves are unsure."""
    measurements = [sample.measurement for sample in sampled]
    errors = [standard_error((m.high_ms - m.low_ms) / 2, m.runs) / m.latency_ms for m in measurements]
    return 100 * MEAN_ERROR * float(np.mean(errors))


def design(space: DesignSpace, seed: int) -> Iterator[tuple[Architecture, bool]]:
    """Distinct architectures in the order of measuring, with True for those drawn at random; ends when
    (nearly) all architectures of the space have come."""
    rng = random.Random(f"design {seed}")
    pool = dict.fromkeys(space.sample(rng) for _ in range(POOL))
    linear = _LinearDesign(features([*pool]))
    seen: set[Architecture] = set()

    def fresh(at_random: bool) -> Architecture | None:
        left = [architecture for architecture in pool if architecture not in seen]
        if left and not at_random:
            return left[int(np.argmax(linear.variances(features(left))))]
        drawn = (space.sample(rng) for _ in range(TRIES))
        return next((architecture for architecture in drawn if architecture not in seen), None)

    for number, end in enumerate(chain((space.largest(), space.smallest()), repeat(None))):
        at_random = end is None and number % 2 == 1
        chosen = end or fresh(at_random)
        if chosen is None:
            return
        if chosen not in seen:
            seen.add(chosen)
            linear.add(features([chosen])[0])
            yield chosen, at_random


class _LinearDesign:
    """The variances of a linear predictor's predictions, relative to the variance of measurements, after some
    architectures were measured."""

    def __init__(self, pool: Array) -> None:
        """`pool`: rows of features (N, features), whose spread is the scale."""
        self._mean, spread = pool.mean(axis=0), pool.std(axis=0)
        self._scale = np.where(spread > 0, spread, 1.0)
        self._covariance = np.eye(pool.shape[1] + 1) / RIDGE

    def variances(self, rows: Array) -> Array:
        """The variance of the prediction of each row."""
        design = self._design(rows)
        variances: Array = np.einsum("ij,jk,ik->i", design, self._covariance, design)
        return variances

    def add(self, row: Array) -> None:
        """Add an architecture to the measured ones (Sherman and Morrison's update)."""
        (x,) = self._design(row[None])
        along = self._covariance @ x
        self._covariance -= np.outer(along, along) / (1 + x @ along)

    def _design(self, rows: Array) -> Array:
        return np.hstack([(rows - self._mean) / self._scale, np.ones((len(rows), 1))])
