"""The architectures that are measured, and the end of measuring."""

from collections.abc import Callable
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest

from hat.architecture import Architecture, ModelConfig, cost
from hat.hardware import InventedBench, MeasurementStore, MeasureProtocol, Series, Timer
from hat.hardware.measuring.sampling import Sampled, design, fit, measure_until_predictable, noise_floor
from hat.predictor.features import features
from hat.space import DesignSpace

PROTOCOL = MeasureProtocol((10, 30), (12, 28), warmup=1)
Measured = Callable[..., list[Sampled]]


def test_the_ends_come_first_then_designed_and_random_ones_alternate(design_space: DesignSpace) -> None:
    sequence = list(islice(design(design_space, 1), 40))
    chosen = [architecture for architecture, _ in sequence]
    assert chosen[:2] == [design_space.largest(), design_space.smallest()]
    assert [judged for _, judged in sequence] == [False, False, *[False, True] * 19]
    assert len(set(chosen)) == 40
    assert sequence == list(islice(design(design_space, 1), 40))
    assert chosen[2:] != [one for one, _ in islice(design(design_space, 2), 2, 40)]


def test_designed_ones_tell_more_than_random_ones(design_space: DesignSpace) -> None:
    """The volume of the confidence region of a linear law's weights is what D-optimal designs make small."""
    sequence = list(islice(design(design_space, 1), 62))
    designed = [one for one, judged in sequence[2:] if not judged]
    drawn = [one for one, judged in sequence[2:] if judged]
    spread = features(drawn).std(axis=0)
    rows = [features(some) / np.where(spread > 0, spread, 1) for some in (designed, drawn)]
    information = [np.linalg.slogdet(one.T @ one + 1e-3 * np.eye(one.shape[1]))[1] for one in rows]
    assert information[0] > information[1] + 2


def test_a_space_that_is_too_small_ends(design_space: DesignSpace) -> None:
    tiny = DesignSpace(**{name: choices[:1] for name, choices in design_space.to_dict().items()})
    assert list(design(tiny, 1)) == [(tiny.largest(), False)]


@pytest.fixture
def measured(design_space: DesignSpace, tmp_path: Path) -> Measured:
    numbers = count(1)

    def run(timer: Timer, most: int = 80, target: float | None = 2.0) -> list[Sampled]:
        def model(architecture: Architecture) -> ModelConfig:
            return ModelConfig(architecture, 100, 100)

        store = MeasurementStore(tmp_path / f"{next(numbers)}.sqlite")
        series = Series(store, "measure/1", "local", PROTOCOL, model(design_space.largest()))
        try:
            bench = InventedBench(timer)
            return measure_until_predictable(
                design_space, model, series, bench, most=most, target_mape=target, seed=1
            )
        finally:
            store.close()

    return run


def smooth(architecture: Architecture, pair: tuple[int, int]) -> float:
    return cost(architecture).flops / 1e8 * pair[1] / 30


def test_a_law_that_is_easily_learnt_needs_few(measured: Measured) -> None:
    found = measured(smooth)
    assert len(found) == 24
    assert fit(found, 1).report.mape < 2
    assert fit(found, 1).report.samples == sum(one.judged for one in found)
    assert noise_floor(found) == 0


def test_a_number_that_is_asked_for_is_measured(measured: Measured) -> None:
    assert len(measured(smooth, most=44, target=None)) == 44


def test_a_law_that_is_not_is_measured_to_the_end(measured: Measured) -> None:
    def rough(architecture: Architecture, pair: tuple[int, int]) -> float:
        return smooth(architecture, pair) * (1 + int(architecture.short_hash()[:4], 16) % 7 / 7)

    assert len(measured(rough, most=44)) == 44


def test_noise_that_nothing_predicts_ends_it_too(measured: Measured) -> None:
    """Of some draws of noise, that is: the error has to come out below the floor by chance. Which do
    depends on how the processor rounds."""

    def noisy(architecture: Architecture, pair: tuple[int, int]) -> float:
        return smooth(architecture, pair) * float(rng.lognormal(0, 0.5))

    for seed in range(6):
        rng = np.random.default_rng(seed)
        found = measured(noisy, target=0.01)
        if len(found) < 80:
            break
    assert len(found) < 80
    assert fit(found, 1).report.mape <= noise_floor(found)
