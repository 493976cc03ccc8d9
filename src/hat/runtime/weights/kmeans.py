"""k-means of numbers: the code books of a matrix's weights.

In one dimension the clusters are intervals. With a histogram that keeps the sum of each bin, an iteration of
Lloyd's algorithm takes a few look-ups in running totals, for any number of weights: 50 million take seconds,
where scikit-learn's KMeans, made for many dimensions, takes minutes. Means are those of the weights
themselves; only the borders between clusters are rounded to a bin, 1/256 of their mean distance.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# As published.
ITERATIONS = 300
BINS_PER_CENTROID = 256
# k-means++ draws from wider bins: it need not be exact, and each centroid takes a pass over all bins.
BINS_PER_SEED = 16
# Bounds on memory: bins of the histograms of several groups together, and weights that are copied at a time.
BINS_AT_ONCE, WEIGHTS_AT_ONCE = 1 << 21, 1 << 20
SEED = 1  # of k-means++: the same weights give the same code books

Array = NDArray[Any]
Floats = NDArray[np.float64]


class _Histogram:
    """The weights of some groups in bins of equal width, from each group's least to its largest. `low`,
    `width` (G, 1); `counts`, `sums` (G, B): number and sum of the weights in each bin."""

    def __init__(self, groups: Sequence[Array], bins: int) -> None:
        ends = np.array([(group.min(), group.max()) for group in groups], np.float64)
        self.low, self.high = ends[:, :1], ends[:, 1:]
        spread = self.high - self.low
        self.width = np.where(spread > 0, spread, 1.0) / bins
        self.counts, self.sums = np.zeros((2, len(groups), bins))
        for index, group in enumerate(groups):
            flat = group.ravel()
            for start in range(0, flat.size, WEIGHTS_AT_ONCE):
                weights = flat[start : start + WEIGHTS_AT_ONCE].astype(np.float64)
                places = ((weights - self.low[index]) / self.width[index]).astype(np.int64)
                np.minimum(places, bins - 1, out=places)
                self.counts[index] += np.bincount(places, minlength=bins)
                self.sums[index] += np.bincount(places, weights, minlength=bins)


def _linear(histogram: _Histogram, count: int) -> Floats:
    """Centroids at even distances from the least weight to the largest: outliers get some. As published."""
    return histogram.low + (histogram.high - histogram.low) * np.linspace(0, 1, count)


def _plus_plus(histogram: _Histogram, count: int) -> Floats:
    """Centroids drawn among the weights, each with a probability in proportion to its squared distance to
    those drawn before (Arthur and Vassilvitskii 2007). Each group uses the same random numbers, so that its
    result does not depend on the other groups."""
    rng, groups, bins = np.random.default_rng(SEED), len(histogram.counts), BINS_PER_SEED * count
    both = (histogram.counts, histogram.sums)
    counts, sums = (values.reshape(groups, bins, -1).sum(axis=-1) for values in both)
    means, chances = sums / np.maximum(counts, 1), counts
    distances = np.full((groups, bins), np.inf)
    centroids = np.empty((groups, count))
    for index in range(count):
        totals = chances.cumsum(axis=1)
        drawn = (totals <= rng.random() * totals[:, -1:]).sum(axis=1)
        chosen = means[np.arange(groups), np.minimum(drawn, bins - 1)][:, None]
        centroids[:, index : index + 1] = chosen
        np.minimum(distances, (means - chosen) ** 2, out=distances)
        chances = counts * distances
    return np.sort(centroids, axis=1)


INITIALIZATIONS: dict[str, Callable[[_Histogram, int], Floats]] = {"linear": _linear, "k-means++": _plus_plus}


def code_books(groups: Sequence[Array], bits: int, initialization: str) -> NDArray[np.float32]:
    """The centroids (G, 2^bits) of each group of finite weights, ascending. A centroid that is not the
    nearest one of any weight stays in place. The result depends on the arguments alone."""
    count, bins = 1 << bits, BINS_PER_CENTROID << bits
    at_once = max(1, BINS_AT_ONCE // bins)
    centroids = []
    for start in range(0, len(groups), at_once):
        histogram = _Histogram(groups[start : start + at_once], bins)
        centroids.append(_lloyd(histogram, INITIALIZATIONS[initialization](histogram, count)))
    return np.concatenate(centroids).astype(np.float32)


def _lloyd(histogram: _Histogram, centroids: Floats) -> Floats:
    """The centroids (G, K) moved to the means of their nearest weights, until none moves."""
    groups, bins = histogram.counts.shape
    # Running totals, from before the first bin to after the last.
    counts, sums = (
        np.concatenate((np.zeros((groups, 1)), values.cumsum(axis=1)), axis=1)
        for values in (histogram.counts, histogram.sums)
    )
    borders = np.zeros((groups, centroids.shape[1] + 1), np.int64)
    borders[:, -1] = bins
    for _ in range(ITERATIONS):
        middles = ((centroids[:, 1:] + centroids[:, :-1]) / 2 - histogram.low) / histogram.width
        places = np.clip(np.rint(middles), 0, bins).astype(np.int64)
        if (places == borders[:, 1:-1]).all():
            break
        borders[:, 1:-1] = places
        sizes, totals = (np.diff(np.take_along_axis(running, borders, 1)) for running in (counts, sums))
        centroids = np.where(sizes > 0, totals / np.maximum(sizes, 1), centroids)
    return centroids


def nearest(weights: Array, book: NDArray[np.float32]) -> NDArray[np.uint8]:
    """For each weight the index of the nearest entry of an ascending code book."""
    middles = book[:-1] / 2 + book[1:] / 2  # halves first: a sum may overflow
    codes = np.empty(weights.size, np.uint8)
    flat = weights.ravel()
    for start in range(0, flat.size, WEIGHTS_AT_ONCE):
        stretch = slice(start, start + WEIGHTS_AT_ONCE)
        codes[stretch] = np.searchsorted(middles, flat[stretch])
    return codes.reshape(weights.shape)
