"""From an architecture to its latency: a hypothesis, with its held-out error beside it."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from hat.architecture import Architecture
from hat.errors import UserError
from hat.files import check_keys
from hat.hardware.features import FEATURES, Array, features, paper_features

FOLDS = 10
FEWEST = 8
# Ridge strengths to choose from, relative to one standardised feature over all samples.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
RESAMPLES = 1000

Predict = Callable[[Array], Array]


@dataclass(frozen=True)
class FitReport:
    """How good a predictor is on models that it was not fitted on.

    `mape`: mean absolute error in % over `folds`-fold cross-validation of `samples` measurements,
    `mape_low` and `mape_high` its 95% bootstrap interval; `linear_mape`: that of ordinary linear
    regression on the paper's ten features in the same folds.
    """

    samples: int
    folds: int
    mape: float
    mape_low: float
    mape_high: float
    linear_mape: float


@dataclass(frozen=True)
class LatencyPredictor:
    """Milliseconds = intercept + FEATURES · weights, with no negative weight.

    Ridge regression of relative errors. Monotone: more work never lowers a prediction.
    """

    weights: tuple[float, ...]
    intercept: float
    report: FitReport

    @classmethod
    def fit(
        cls, architectures: Sequence[Architecture], latencies_ms: Sequence[float], seed: int
    ) -> "LatencyPredictor":
        """Fit to measurements; `seed` shuffles the folds. Raises UserError for too few of them."""
        y = np.asarray(latencies_ms, float)
        if len(architectures) != len(y) or len(y) < FEWEST:
            raise UserError(
                f"{len(y)} measurements for {len(architectures)} architectures; "
                f"a predictor needs at least {FEWEST} of both"
            )
        if not (np.isfinite(y) & (y > 0)).all():
            raise UserError("latencies must be positive numbers of milliseconds")
        x, paper = features(architectures), paper_features(architectures)
        rng = np.random.default_rng(seed)
        folds = np.array_split(rng.permutation(len(y)), min(FOLDS, len(y)))
        errors = _held_out(x, y, folds, _fit_ridge)
        linear = _held_out(paper, y, folds, _fit_linear)
        means = rng.choice(errors, (RESAMPLES, len(y))).mean(axis=1)
        low, high = np.quantile(means, (0.025, 0.975))
        report = FitReport(
            *(len(y), len(folds)),
            *(float(value) for value in (errors.mean(), low, high, linear.mean())),
        )
        weights, intercept = _ridge(x, y, _choose_strength(x, y))
        return cls(tuple(weights.tolist()), intercept, report)

    def predict(self, architectures: Sequence[Architecture]) -> Array:
        """Latencies in milliseconds, one for each architecture."""
        found: Array = features(architectures) @ np.array(self.weights) + self.intercept
        return found

    def to_dict(self) -> dict[str, Any]:
        """JSON data, as `from_dict` reads it."""
        return {
            "weights": dict(zip(FEATURES, self.weights, strict=True)),
            "intercept": self.intercept,
            "report": asdict(self.report),
        }

    @classmethod
    def from_dict(cls, value: object, where: str = "predictor") -> "LatencyPredictor":
        """Read strictly. Raises UserError."""
        keys = check_keys(value, ("weights", "intercept", "report"), where)
        weights = check_keys(keys["weights"], FEATURES, f"{where}.weights")
        names = [field.name for field in fields(FitReport)]
        report = check_keys(keys["report"], names, f"{where}.report")
        for name, number in ({"intercept": keys["intercept"]} | dict(weights) | dict(report)).items():
            if not isinstance(number, int | float) or not np.isfinite(number):
                raise UserError(f"{where}: {name}: {number!r} is not a number")
        ordered = tuple(float(weights[name]) for name in FEATURES)
        return cls(ordered, float(keys["intercept"]), FitReport(**report))


def _held_out(x: Array, y: Array, folds: Sequence[Any], fit: Callable[[Array, Array], Predict]) -> Array:
    """Absolute errors in % of every sample, predicted from the other folds."""
    errors = np.zeros(len(y))
    for fold in folds:
        kept = np.ones(len(y), bool)
        kept[fold] = False
        errors[fold] = 100 * np.abs(fit(x[kept], y[kept])(x[fold]) / y[fold] - 1)
    return errors


def _fit_ridge(x: Array, y: Array) -> Predict:
    weights, intercept = _ridge(x, y, _choose_strength(x, y))
    return lambda new: new @ weights + intercept


def _fit_linear(x: Array, y: Array) -> Predict:
    ones = np.ones((len(y), 1))
    solution = np.linalg.lstsq(np.hstack([x, ones]), y)[0]
    return lambda new: new @ solution[:-1] + solution[-1]


def _choose_strength(x: Array, y: Array) -> float:
    """The ridge strength with the least error in five folds of what is given."""
    folds = [np.arange(start, len(y), 5) for start in range(5)]

    def error(strength: float) -> float:
        def fit(inner_x: Array, inner_y: Array) -> Predict:
            weights, intercept = _ridge(inner_x, inner_y, strength)
            return lambda new: new @ weights + intercept

        return float(_held_out(x, y, folds, fit).mean())

    return min(STRENGTHS, key=error)


def _ridge(x: Array, y: Array, strength: float) -> tuple[Array, float]:
    """Weights (≥ 0) and intercept that minimise squared relative error plus ridge."""
    from scipy.optimize import lsq_linear  # noqa: PLC0415  (only fitting needs it, not predicting)

    mean, spread = x.mean(axis=0), x.std(axis=0)
    varies = spread > 1e-9 * np.abs(mean)
    scale = np.where(varies, spread, 1.0)
    # A feature that never varied says nothing; its column is zero and ridge keeps its weight there.
    standard = np.where(varies, (x - mean) / scale, 0.0)
    design = np.hstack([standard, np.ones((len(y), 1))]) / y[:, None]
    level = len(y) ** 0.5 / np.median(y)
    penalty = np.eye(x.shape[1] + 1)[:-1] * strength**0.5 * level
    lower = np.full(x.shape[1] + 1, -np.inf)
    lower[:-1] = 0.0
    solution = lsq_linear(
        np.vstack([design, penalty]),
        np.concatenate([np.ones(len(y)), np.zeros(x.shape[1])]),
        (lower, np.inf),
        method="bvls",
    ).x
    weights = np.where(varies, solution[:-1], 0.0) / scale
    return weights, float(solution[-1] - mean @ weights)
