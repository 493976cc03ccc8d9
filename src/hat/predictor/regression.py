"""A cost as non-negative weights × features, and a boosted residual: the core of all predictors."""

from dataclasses import dataclass

import numpy as np

from hat.predictor.boosting import Trees, boost
from hat.predictor.features import Array

ROUNDS = 6  # of reweighting; the published sets' errors change by less than 0.1% after five
REFITS = 10  # of the linear part among the trees


@dataclass(frozen=True)
class RegressionSettings:
    """`strength` of the ridge relative to one standardised feature over all samples; `boosted`: trees learn
    the remainder of the linear model."""

    strength: float
    boosted: bool = False


@dataclass(frozen=True)
class Regression:
    """features · weights + intercept + trees. No weight is negative and every tree is monotone, so
    that more of a feature never lowers a prediction."""

    weights: tuple[float, ...]
    intercept: float
    trees: Trees | None = None

    def predict(self, x: Array) -> Array:
        """(N, features) → (N,)."""
        linear: Array = x @ np.array(self.weights) + self.intercept
        return linear + self.trees.predict(x) if self.trees else linear


def fit_regression(x: Array, y: Array, *, settings: RegressionSettings, seed: int) -> Regression:
    """Fit to positive `y` by relative error; `seed` draws the rows that each tree sees.

    The linear part is fitted again after every few trees: they can only rise, so that a law that is
    steep in one place needs a linear part that is flatter than the best one alone.
    """
    weights, intercept = fit_linear(x, y, strength=settings.strength)
    trees = None
    rng = np.random.default_rng(seed)
    for _ in range(REFITS if settings.boosted else 0):
        trees = boost(x, y, linear=x @ weights + intercept, rng=rng, trees=trees)
        weights, intercept = fit_linear(x, y, strength=settings.strength, known=trees.predict(x))
    return Regression(tuple(weights.tolist()), intercept, trees)


def fit_linear(x: Array, y: Array, *, strength: float, known: Array | float = 0.0) -> tuple[Array, float]:
    """Weights (≥ 0) and intercept that minimise Huber's loss of the relative errors plus ridge;
    `known` is the part of `y` that the trees predict.

    The loss is squared up to the median absolute error and linear beyond, by iterated reweighting:
    a machine that was slow for a while does not bend the law for the rest of the time.
    """
    mean, spread = x.mean(axis=0), x.std(axis=0)
    varies = spread > 1e-9 * np.abs(mean)
    scale = np.where(varies, spread, 1.0)
    # A feature that never varied says nothing; its column is zero and ridge keeps its weight there.
    relative = np.where(varies, (x - mean) / scale, 0.0) / y[:, None]
    wanted = 1 - known / y
    penalty = np.eye(x.shape[1]) * strength * len(y) / np.median(y) ** 2
    trust = np.ones(len(y))
    for _ in range(ROUNDS):
        weights, intercept = _non_negative(relative, 1 / y, wanted, trust, penalty)
        errors = np.abs(relative @ weights + intercept / y - wanted)
        trust = 1 / np.maximum(errors, max(float(np.median(errors)), 1e-9))
        trust /= trust.mean()
    weights = np.where(varies, weights, 0.0) / scale
    return weights, float(intercept - mean @ weights)


def _non_negative(x: Array, ones: Array, wanted: Array, trust: Array, penalty: Array) -> tuple[Array, float]:
    """Non-negative weights and free intercept for x · weights + ones · intercept = wanted.

    The intercept is eliminated and the normal equations factorised, so that the non-negative least
    squares is as small as the number of features.
    """
    from scipy.optimize import nnls  # noqa: PLC0415  (only fitting needs it, not predicting)

    trusted = trust * wanted
    slope, level, total = (trust * ones) @ x, trusted @ ones, trust @ ones**2
    gram = (x * trust[:, None]).T @ x - np.outer(slope, slope) / total + penalty
    factor = np.linalg.cholesky(gram)
    weights = nnls(factor.T, np.linalg.solve(factor, trusted @ x - slope * level / total))[0]
    return weights, float((level - slope @ weights) / total)
