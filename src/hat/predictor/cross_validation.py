"""Errors on architectures that took no part in fitting, and the choices made by them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hat.errors import UserError
from hat.predictor.features import Array, Inputs
from hat.predictor.regression import RegressionSettings, fit_regression

Rows = NDArray[np.intp]
Predict = Callable[[Array], Array]
Fit = Callable[[Array, Array], Predict]

FOLDS, FOLDS_OF_MANY, MANY = 10, 5, 200
STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2)  # of the ridge, to choose from
FEWEST_TO_BOOST = 50  # fewer architectures do not support a boosted residual


@dataclass(frozen=True)
class Grouped:
    """Rows of features x (N, features) and costs y (N,). `group` (N,): the number of each row's architecture.
    `judged`: the groups whose errors count."""

    x: Array
    y: Array
    group: Rows
    judged: Rows

    def means(self, values: Array) -> Array:
        """The mean of each group of `values` (N,)."""
        means: Array = np.bincount(self.group, values) / np.bincount(self.group)
        return means

    def folds(self, count: int, rng: np.random.Generator) -> list[Rows]:
        """The judged groups in random parts; the others are in no fold, so that every model is fitted to
        them."""
        return np.array_split(rng.permutation(self.judged), min(count, len(self.judged)))

    def held_out(self, folds: Sequence[Rows], fit: Fit) -> Array:
        """Predictions (N,): each group in `folds` is predicted by a model fitted to all rows outside its
        fold; rows of other groups get 1."""
        predicted = np.ones(len(self.y))
        for fold in folds:
            out = np.isin(self.group, fold)
            predicted[out] = fit(self.x[~out], self.y[~out])(self.x[out])
        return predicted

    def ratios(self, predicted: Array, groups: Rows) -> Array:
        """Measured ÷ predicted of the mean of each of the `groups`, in their order."""
        return (self.means(self.y) / self.means(predicted))[groups]


def group_rows(architectures: Inputs) -> Rows:
    """The number of each row's architecture."""
    rows: Iterable[Any] = architectures
    if isinstance(architectures, np.ndarray):
        rows = map(tuple, architectures.tolist())
    keys = list(rows)
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys], np.intp)


def judged_groups(group: Rows, judged: Sequence[bool] | None) -> Rows:
    """The groups with a judged row. Raises UserError for fewer than two of them."""
    if judged is not None and len(judged) != len(group):
        raise UserError(f"{len(judged)} judged flags for {len(group)} measurements")
    groups = np.unique(group if judged is None else group[np.asarray(judged, bool)])
    if len(groups) < 2:
        raise UserError("a predictor needs at least two architectures to judge it by")
    return groups


def errors(ratios: Array) -> Array:
    """Absolute errors in % of the measured costs, from measured ÷ predicted."""
    percent: Array = 100 * np.abs(1 / ratios - 1)
    return percent


def choose(data: Grouped, folds: Sequence[Rows], seed: int) -> tuple[RegressionSettings, Array]:
    """The settings with the least held-out error, and their predictions of held-out rows (N,).

    A boosted residual has to win by more than the standard error of its gain: trees that do not help cost
    time and smoothness. That the choice is made by the same held-out error flatters it very little, as the
    candidates are few and alike.
    """

    def judged(predicted: Array, folds: Sequence[Rows]) -> Array:
        return errors(data.ratios(predicted, np.concatenate(folds)))

    ridges = {
        strength: data.held_out(folds, regression(RegressionSettings(strength), seed))
        for strength in STRENGTHS
    }
    strength = min(STRENGTHS, key=lambda strength: float(judged(ridges[strength], folds).mean()))
    linear = RegressionSettings(strength), ridges[strength]
    if len(data.judged) < FEWEST_TO_BOOST:
        return linear
    settings = RegressionSettings(strength, boosted=True)
    half = len(folds) // 2
    boosted = np.ones(len(data.y))
    for part, so_far in ((folds[:half], folds[:half]), (folds[half:], folds)):
        boosted = boosted * data.held_out(part, regression(settings, seed))
        gain = judged(ridges[strength], so_far) - judged(boosted, so_far)
        if gain.mean() < gain.std() / len(gain) ** 0.5:
            return linear
    return settings, boosted


def regression(settings: RegressionSettings, seed: int) -> Fit:
    """`fit_regression` with these settings, for `Grouped.held_out`."""
    return lambda x, y: fit_regression(x, y, settings=settings, seed=seed).predict


def ordinary(x: Array, y: Array) -> Predict:
    """Ordinary linear regression: the baseline."""
    solution = np.linalg.lstsq(np.hstack([x, np.ones((len(y), 1))]), y)[0]
    return lambda new: new @ solution[:-1] + solution[-1]
