"""The intervals of latencies cover what they say, however and whenever measuring ends."""

from math import comb

import numpy as np
import numpy.typing as npt
import pytest

from hat.hardware import MeasureProtocol
from hat.hardware.measuring.calibration import judged
from hat.intervals import (
    CONFIDENCE,
    FEWEST_ROUNDS,
    looks,
    median_interval,
    relative_times,
    series_interval,
    standard_error,
    timed_enough,
)

Array = npt.NDArray[np.float64]
SERIES = 1000
# An interval of 95 % comes out below this in one of ten such simulations; these are of 96 % or more.
ENOUGH = 0.94


def exact_coverage(left_out: int, count: int) -> float:
    """That the median of any continuous distribution lies between the order statistics."""
    return 1 - 2 * sum(comb(count, below) for below in range(left_out + 1)) / 2**count


@pytest.mark.parametrize("confidence", [0.9, CONFIDENCE, 0.97, 0.99])
def test_the_interval_of_a_median_leaves_out_as_many_values_as_its_confidence_allows(
    confidence: float,
) -> None:
    for count in range(2, 300):
        low, high = median_interval(np.arange(float(count)), confidence)
        if low == -np.inf:
            assert high == np.inf
            assert exact_coverage(0, count) < confidence
            continue
        assert low + high == count - 1
        assert exact_coverage(int(low), count) >= confidence
        assert exact_coverage(int(low) + 1, count) < confidence


def test_five_values_have_no_interval_and_six_have_their_range() -> None:
    assert median_interval(np.arange(5.0)) == (-np.inf, np.inf)
    assert median_interval(np.arange(6.0)) == (0, 5)


def test_a_series_ends_only_at_a_few_numbers_of_rounds() -> None:
    assert looks(100) == (8, 16, 32, 64, 100)
    assert looks(2) == looks(FEWEST_ROUNDS) == (FEWEST_ROUNDS,)
    assert looks(16) == (8, 16)
    steady = np.ones(200)
    assert [n for n in range(1, 101) if timed_enough(steady[:n], 0.02, 100)] == [8, 16, 32, 64, 100]
    unsteady = np.tile([1.0, 2.0], 100)
    assert [n for n in range(1, 101) if timed_enough(unsteady[:n], 0.02, 100)] == [100]


def noise_of(kind: str, share: float, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Factors by which calls are slower than the machine's steady time."""
    normal = 1 + share * rng.standard_normal(shape)
    if kind == "skewed":
        return 1 + share * rng.exponential(size=shape)
    spikes = rng.random(shape) < (0.1 if kind == "disturbed" else 0.0)
    return normal * np.where(spikes, 1.3, 1.0)


def true_medians(kind: str, share: float) -> tuple[float, float]:
    """The median of a call, and of a call relative to the mean of two others."""
    rng = np.random.default_rng(7)
    calls = noise_of(kind, share, (200_000, 3), rng)
    return float(np.median(calls[:, 0])), float(np.median(calls[:, 0] / calls[:, 1:].mean(axis=1)))


def series(
    kind: str, share: float, most: int, interval: float, rng: np.random.Generator
) -> tuple[Array, Array]:
    """The times of a model relative to the reference's, both of whose steady time is 1 ms and drifts, and the
    reference's, until measuring ends."""
    drift = np.linspace(1, 1.3, most)[:, None]
    own = drift * noise_of(kind, share, (most, 1), rng)
    reference = drift * noise_of(kind, share, (most, 2), rng)
    for count in looks(most):
        times = relative_times(own[:count].tolist(), reference[:count].tolist())
        if timed_enough(times, interval, most):
            break
    return times, reference[:count] / drift[:count]


def covers(bounds: tuple[float, float], truth: float) -> bool:
    return bounds[0] <= truth <= bounds[1]


@pytest.mark.parametrize("kind", ["normal", "skewed", "disturbed"])
@pytest.mark.parametrize("share", [0.01, 0.02, 0.03, 0.05])
def test_a_latency_is_in_its_interval_in_95_of_100_series(kind: str, share: float) -> None:
    """Of the ratio to the reference, and of milliseconds, whenever narrowness or patience ended the series:
    at the first look, later, or at the last round."""
    median, ratio = true_medians(kind, share)
    for number, (interval, most) in enumerate([(0.02, 60), (0.01, 100), (0.05, 200), (0.02, FEWEST_ROUNDS)]):
        rng = np.random.default_rng(number)
        relative, absolute = 0, 0
        for _ in range(SERIES):
            times, reference = series(kind, share, most, interval, rng)
            low, high = series_interval(times)
            level = float(np.median(reference.mean(axis=1)))
            relative += covers((low, high), ratio)
            absolute += covers((level * low, level * high), median)
        assert relative >= ENOUGH * SERIES, (kind, share, interval, most)
        assert absolute >= ENOUGH * SERIES, (kind, share, interval, most)


@pytest.mark.parametrize("share", [0.01, 0.02, 0.03, 0.05])
def test_standard_errors_are_those_of_the_medians(share: float) -> None:
    """The noise floor is made of them. Too large by some per cent at the first look, too small later,
    as series end that happen to look narrow."""
    rng = np.random.default_rng(0)
    found, stated = [], []
    for _ in range(SERIES):
        times, _ = series("normal", share, 200, 0.02, rng)
        low, high = series_interval(times)
        found.append(float(np.median(times)) - 1)
        stated.append(standard_error((high - low) / 2, len(times)))
    assert 0.8 < np.mean(stated) / np.std(found) < 1.25


@pytest.mark.parametrize("share", [0.01, 0.02, 0.03, 0.05])
def test_a_calibration_foretells_the_rounds(share: float) -> None:
    protocol = MeasureProtocol((20,), (20,), rounds=60)
    rng = np.random.default_rng(1)
    times = 10 * noise_of("normal", share, (2000,), rng)
    foretold = judged(times.tolist(), protocol).rounds
    taken = [len(series("normal", share, 4096, protocol.interval, rng)[0]) for _ in range(200)]
    assert 0.5 <= np.median(taken) / foretold <= 2
