"""Gradient boosting of small monotone trees: the remainder of a linear law, where the data suffice.

scikit-learn grows the trees; they are kept as plain arrays, so that predicting needs numpy alone.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hat.errors import UserError
from hat.files import check_keys
from hat.predictor.features import Array

COUNT, DEPTH, RATE = 4, 3, 0.4  # trees added at a time, their levels, the learning rate
LEAF = 5  # fewest samples of a leaf
# Each tree sees half of the rows (stochastic gradient boosting, Friedman 2002), at most this number: more
# would cost time without making a small tree better.
MOST = 400
SPLITS, LEAVES = 2**DEPTH - 1, 2**DEPTH


@dataclass(frozen=True)
class Trees:
    """Complete binary trees of DEPTH: node i has the children 2i + 1 and 2i + 2.

    At a node, a row whose `feature` exceeds the `threshold` goes to the second child; the leaf's `value` is
    added. A branch that ends early has one value in all its leaves.
    """

    feature: tuple[tuple[int, ...], ...]  # (trees, SPLITS)
    threshold: tuple[tuple[float, ...], ...]  # (trees, SPLITS)
    value: tuple[tuple[float, ...], ...]  # (trees, LEAVES)

    def predict(self, x: Array) -> Array:
        """(N, features) → (N,): the sum over all trees."""
        return _sum(x, np.array(self.feature), np.array(self.threshold), np.array(self.value))

    def __add__(self, other: "Trees") -> "Trees":
        return Trees(self.feature + other.feature, self.threshold + other.threshold, self.value + other.value)

    def to_dict(self) -> dict[str, Any]:
        """JSON data, as `from_dict` reads it."""
        return {name: [list(row) for row in getattr(self, name)] for name in vars(self)}

    @classmethod
    def from_dict(cls, value: object, features: int, where: str) -> "Trees":
        """Read strictly, for rows of this number of features. Raises UserError."""
        keys = check_keys(value, ("feature", "threshold", "value"), where)
        try:
            arrays = {name: np.array(keys[name], float) for name in keys}
        except (TypeError, ValueError, OverflowError) as error:
            raise UserError(f"{where}: not rows of numbers of one length") from error
        trees = arrays["value"].shape[:1]
        for name, width in {"feature": SPLITS, "threshold": SPLITS, "value": LEAVES}.items():
            if arrays[name].shape != (*trees, width) or not np.isfinite(arrays[name]).all():
                raise UserError(f"{where}: {name}: expected {width} numbers for each tree")
        if not np.isin(arrays["feature"], np.arange(features)).all():
            raise UserError(f"{where}: feature: not all are numbers of features (0 to {features - 1})")
        return cls._from_arrays(arrays["feature"].astype(int), arrays["threshold"], arrays["value"])

    @classmethod
    def _from_arrays(cls, *arrays: NDArray[Any]) -> "Trees":
        return cls(*(tuple(map(tuple, array.tolist())) for array in arrays))


def boost(x: Array, y: Array, *, linear: Array, rng: np.random.Generator, trees: Trees | None) -> Trees:
    """`trees` and COUNT more, to add to the `linear` predictions of `y` (N,).

    They descend Huber's loss of the relative errors, which is linear beyond the median absolute error.
    """
    from sklearn.tree import DecisionTreeRegressor  # noqa: PLC0415  (only fitting needs it)

    single = x.astype(np.float32)  # as scikit-learn compares them with its thresholds
    predicted = linear + (trees.predict(x) if trees else 0.0)
    grown = []
    for _ in range(COUNT):
        errors = 1 - predicted / y
        corner = np.median(np.abs(errors))
        rows = rng.permutation(len(y))[: min(len(y) // 2, MOST)]
        rising = np.ones(x.shape[1], np.int8)
        tree = DecisionTreeRegressor(
            max_depth=DEPTH, min_samples_leaf=LEAF, monotonic_cst=rising, random_state=0
        )
        target = (np.clip(errors, -corner, corner) * y)[rows]
        tree.fit(single[rows], target, sample_weight=y[rows] ** -2, check_input=False)
        grown.append(_as_arrays(tree.tree_))
        predicted += _sum(x, *(array[None] for array in grown[-1]))
    added = Trees._from_arrays(*(np.stack(arrays) for arrays in zip(*grown, strict=True)))
    return trees + added if trees else added


def _as_arrays(tree: Any) -> tuple[NDArray[Any], ...]:
    """scikit-learn's tree as one row of `Trees`, its values times RATE."""
    feature, threshold, value = np.zeros(SPLITS, int), np.zeros(SPLITS), np.zeros(LEAVES)

    def place(node: int, position: int) -> None:
        split = tree.children_left[node] >= 0
        if position >= SPLITS:
            value[position - SPLITS] = RATE * tree.value[node, 0, 0]
            return
        if split:
            feature[position], threshold[position] = tree.feature[node], tree.threshold[node]
        place(tree.children_left[node] if split else node, 2 * position + 1)
        place(tree.children_right[node] if split else node, 2 * position + 2)

    place(0, 0)
    return feature, threshold, value


def _sum(x: Array, feature: NDArray[Any], threshold: Array, value: Array) -> Array:
    """The sums (N,) of the trees' values for rows x (N, features); the trees' arrays as in `Trees`."""
    single = x.astype(np.float32)
    trees, rows = np.arange(len(feature)), np.arange(len(x))[:, None]
    position = np.zeros((len(x), len(feature)), int)
    for _ in range(DEPTH):
        higher = single[rows, feature[trees, position]] > threshold[trees, position]
        position = 2 * position + 1 + higher
    total: Array = value[trees, position - SPLITS].sum(axis=1)
    return total
