"""From an architecture to its cost on a device: a hypothesis, with its held-out error beside it."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from math import ceil, exp, floor
from sys import float_info
from typing import Any

import numpy as np

from hat.errors import UserError, shown
from hat.files import check_keys
from hat.intervals import LOOK_CONFIDENCE
from hat.predictor.boosting import Trees
from hat.predictor.cross_validation import (
    FOLDS,
    FOLDS_OF_MANY,
    MANY,
    Grouped,
    choose,
    errors,
    group_rows,
    judged_groups,
    ordinary,
    regression,
)
from hat.predictor.features import TYPICAL, Array, Inputs, Pairs, feature_set, paper_features
from hat.predictor.regression import Regression, fit_regression

FEWEST = 8
WORTHWHILE = 0.1  # the share of the error that twice the measurements have to remove to be worth their time


@dataclass(frozen=True)
class FitReport:
    """The accuracy of a predictor on architectures that it was not fitted to.

    `mape`: mean absolute error in % in `folds`-fold cross-validation; `mape_low`, `mape_high`: its 95%
    interval (Student's, of the logarithm, as errors are skewed and may be few). `linear_mape`: the error of
    ordinary linear regression on the paper's ten features in the same folds. `half_mape`: the error after
    fitting to half of the architectures. `samples`: the number of architectures that were held out.
    """

    samples: int
    folds: int
    mape: float
    mape_low: float
    mape_high: float
    linear_mape: float
    half_mape: float

    @property
    def doubled_mape(self) -> float:
        """The error to expect of twice the measurements, if it falls as 1 / samples to a floor."""
        kept = 1 - 1 / self.folds
        fall = (self.half_mape - self.mape) / (2 - 1 / kept)
        return self.mape - max(0.0, fall) / (2 * kept)

    @property
    def more_would_help(self) -> bool:
        """True if twice the measurements would lower the error by more than a tenth."""
        return self.doubled_mape < (1 - WORTHWHILE) * self.mape


@dataclass(frozen=True)
class CostPredictor:
    """A regression on a set of features, in the unit of the measurements.

    Monotone: more work never lowers a prediction. `pairs`: the measured (source, target) lengths. `ratios`:
    measured ÷ predicted of each held-out architecture, in the order given. `pair_ratios`: the same at each of
    the pairs; empty if not every architecture was measured at all of them.
    """

    features: str
    pairs: tuple[tuple[int, int], ...]
    regression: Regression
    ratios: tuple[float, ...]
    pair_ratios: tuple[tuple[float, ...], ...]
    report: FitReport

    @classmethod
    def fit(
        cls,
        architectures: Inputs,
        costs: Sequence[float] | Array,
        *,
        seed: int,
        pairs: Pairs | None = None,
        judged: Sequence[bool] | None = None,
        features: str = "layers",
    ) -> "CostPredictor":
        """Fit to measurements, one for each row of the arguments.

        Args:
            architectures: the measured ones; with features "averages" also an array (N, 10) of the
                paper's columns.
            costs: their latencies in milliseconds, or another cost.
            seed: shuffles the folds.
            pairs: (source, target) length of each row. All rows of an architecture are held out
                together, and the error is that of their mean.
            judged: True if the row's architecture counts in the held-out error; one that does not (since
                it was chosen for being extreme) is in every fit.
            features: "layers" for latencies, "weights" for memory, "averages" for published sets.

        Raises UserError for too few measurements or impossible ones.
        """
        y = _checked(costs, len(architectures))
        kind = feature_set(features)
        if pairs is not None and len(pairs) != len(y):
            raise UserError(f"{len(pairs)} pairs of lengths for {len(y)} measurements")
        x = kind.counts(architectures) * kind.lengths(pairs or TYPICAL)
        group = group_rows(architectures)
        data = Grouped(x, y, group, judged_groups(group, judged))
        rng = np.random.default_rng(seed)
        folds = data.folds(FOLDS if len(data.judged) <= MANY else FOLDS_OF_MANY, rng)
        settings, predicted = choose(data, folds, seed)
        ratios = data.ratios(predicted, data.judged)
        halves = data.folds(2, rng)
        half = data.ratios(data.held_out(halves, regression(settings, seed)), np.concatenate(halves))
        first = np.unique(group, return_index=True)[1]
        paper = Grouped(paper_features(architectures)[first], data.means(y), group[first], data.judged)
        linear = paper.ratios(paper.held_out(folds, ordinary), data.judged)
        low, high = _error_interval(errors(ratios))
        report = FitReport(
            samples=len(ratios),
            folds=len(folds),
            mape=float(errors(ratios).mean()),
            mape_low=low,
            mape_high=high,
            linear_mape=float(errors(linear).mean()),
            half_mape=float(errors(half).mean()),
        )
        return cls(
            features,
            tuple(sorted(set(pairs or TYPICAL))),
            regression=fit_regression(x, y, settings=settings, seed=seed),
            ratios=tuple(ratios.tolist()),
            pair_ratios=_by_pair(data, y / predicted, pairs),
            report=report,
        )

    def predict(self, architectures: Inputs, pairs: Pairs | None = None) -> Array:
        """Costs (N,): means over `pairs` of lengths, or over those measured."""
        kind = feature_set(self.features)
        counts = kind.counts(architectures)
        each = [self.regression.predict(counts * row) for row in kind.lengths(pairs or self.pairs)]
        means: Array = np.mean(each, axis=0)
        return means

    def predict_interval(
        self, architectures: Inputs, coverage: float = 0.9, pairs: Pairs | None = None
    ) -> tuple[Array, Array]:
        """Conformal bounds of costs, each (N,): the measured cost of a new architecture, drawn like the
        held-out ones, lies between them with the probability `coverage`.

        The bounds are quantiles of measured ÷ predicted in cross-validation (the "CV" of Barber et al. 2021,
        without the "+", which would need every fold's model). Errors at single pairs of lengths are larger
        than those of their mean; so for `pairs` other than all measured ones, each architecture counts with
        its extremes over these pairs, or over all pairs if lengths are new. With too few measurements for
        this coverage, the bounds are 0 and infinity.
        """
        if not 0 < coverage < 1:
            raise UserError(f"coverage: {shown(coverage)} is not between 0 and 1")
        lowest, highest = self._extremes(pairs)
        count = len(lowest)
        below = floor((count + 1) * (1 - coverage) / 2)
        above = ceil((count + 1) * (1 + coverage) / 2)
        low = sorted(lowest)[below - 1] if below else 0.0
        high = sorted(highest)[above - 1] if above <= count else np.inf
        predicted = self.predict(architectures, pairs)
        return predicted * low, predicted * high

    def _extremes(self, pairs: Pairs | None) -> tuple[Sequence[float], Sequence[float]]:
        """The lowest and the highest measured ÷ predicted of each held-out architecture at the given
        pairs."""
        lengths, measured = {(source, target) for source, target in pairs or self.pairs}, {*self.pairs}
        if lengths == measured or not self.pair_ratios:
            return self.ratios, self.ratios
        columns = [self.pairs.index(pair) for pair in lengths] if lengths <= measured else slice(None)
        table = np.array(self.pair_ratios)[:, columns]
        return table.min(axis=1).tolist(), table.max(axis=1).tolist()

    def to_dict(self) -> dict[str, Any]:
        """JSON data, as `from_dict` reads it."""
        names = feature_set(self.features).names
        trees = self.regression.trees
        return {
            "features": self.features,
            "pairs": [list(pair) for pair in self.pairs],
            "weights": dict(zip(names, self.regression.weights, strict=True)),
            "intercept": self.regression.intercept,
            "trees": trees.to_dict() if trees else None,
            "ratios": list(self.ratios),
            "pair_ratios": [list(row) for row in self.pair_ratios],
            "report": asdict(self.report),
        }

    @classmethod
    def from_dict(cls, value: object, where: str = "predictor") -> "CostPredictor":
        """Read strictly. Raises UserError."""
        known = ("features", "pairs", "weights", "intercept", "trees", "ratios", "report", "pair_ratios")
        keys = {"pair_ratios": [], **check_keys(value, known, where, optional=("pair_ratios",))}
        names = feature_set(keys["features"]).names
        weights = check_keys(keys["weights"], names, f"{where}.weights")
        report = check_keys(keys["report"], [field.name for field in fields(FitReport)], f"{where}.report")
        _numbers([("intercept", keys["intercept"]), *weights.items(), *report.items()], where)
        ratios = _numbers(enumerate(_list(keys["ratios"], f"{where}.ratios")), f"{where}.ratios")
        pairs = _pairs(keys["pairs"], f"{where}.pairs")
        trees = keys["trees"]
        return cls(
            keys["features"],
            pairs,
            regression=Regression(
                tuple(float(weights[name]) for name in names),
                float(keys["intercept"]),
                None if trees is None else Trees.from_dict(trees, len(names), f"{where}.trees"),
            ),
            ratios=ratios,
            pair_ratios=_table(keys["pair_ratios"], len(ratios), len(pairs), f"{where}.pair_ratios"),
            report=FitReport(**report),
        )


def _error_interval(percent: Array) -> tuple[float, float]:
    """The 95% interval of the mean of positive errors (N,). Like a latency's, it is wide enough to be
    checked repeatedly, since measuring ends once the error is small enough."""
    from scipy.special import stdtrit  # noqa: PLC0415  (only fitting needs it, not predicting)

    mean, count = float(percent.mean()), len(percent)
    if mean == 0:
        return 0.0, 0.0
    share = float(stdtrit(count - 1, (1 + LOOK_CONFIDENCE) / 2) * percent.std(ddof=1) / count**0.5 / mean)
    return mean * exp(-share), mean * exp(share)


def _by_pair(data: Grouped, ratios: Array, pairs: Pairs | None) -> tuple[tuple[float, ...], ...]:
    """Measured ÷ predicted of each held-out group at each pair; empty unless each group has all pairs
    once."""
    pairs = pairs or TYPICAL * len(ratios)
    table: dict[tuple[int, tuple[int, int]], float] = {}
    for group, pair, ratio in zip(data.group.tolist(), pairs, ratios.tolist(), strict=True):
        table[group, pair] = ratio
    cells = [[(group, pair) for pair in sorted(set(pairs))] for group in data.judged.tolist()]
    if any(cell not in table for row in cells for cell in row):
        return ()
    return tuple(tuple(table[cell] for cell in row) for row in cells)


def _checked(costs: Sequence[float] | Array, architectures: int) -> Array:
    y = np.asarray(costs, float)
    if architectures != len(y) or len(y) < FEWEST:
        raise UserError(
            f"{len(y)} measurements for {architectures} architectures; "
            f"a predictor needs at least {FEWEST} of both"
        )
    if not (np.isfinite(y) & (y > 0)).all():
        raise UserError("measured costs must be positive numbers")
    return y


def _numbers(named: Iterable[tuple[object, Any]], where: str) -> tuple[float, ...]:
    """The finite numbers that these are, each with its name."""
    numbers = []
    for name, number in named:
        plain = isinstance(number, int | float) and not isinstance(number, bool)
        if not (plain and abs(number) <= float_info.max):  # false of NaN too
            raise UserError(f"{where}: {name}: {shown(number)} is not a number")
        numbers.append(float(number))
    return tuple(numbers)


def _table(value: object, rows: int, columns: int, where: str) -> tuple[tuple[float, ...], ...]:
    """The table that `value` is: empty, or of these numbers of rows and columns."""
    if not isinstance(value, list) or len(value) not in (0, rows):
        raise UserError(f"{where}: expected {rows} rows, or none")
    for number, row in enumerate(value):
        if not isinstance(row, list) or len(row) != columns:
            raise UserError(f"{where}: {number}: expected {columns} numbers")
    return tuple(_numbers(enumerate(row), f"{where}: {number}") for number, row in enumerate(value))


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise UserError(f"{where}: expected a list")
    return value


def _pairs(value: object, where: str) -> tuple[tuple[int, int], ...]:
    for pair in _list(value, where):
        lengths = pair if isinstance(pair, list) and len(pair) == 2 else [None]
        if not all(type(length) is int and length > 0 for length in lengths):
            raise UserError(f"{where}: {shown(pair)} is not a source and a target length")
    return tuple((source, target) for source, target in _list(value, where))
