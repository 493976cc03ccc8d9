"""The paper's latency predictor, for comparison: a network on ten averages.

In numpy, since this room never needs torch, and scikit-learn's network starts from larger weights (Glorot's)
than the original, with which its error on the published sets is up to a tenth larger.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hat.predictor.features import Array, Inputs, paper_features

Single = NDArray[np.float32]

# Fixed maxima by which the inputs are divided, in the order of PAPER_COLUMNS.
MAXIMA = (640, 6, 3072, 8, 640, 6, 3072, 8, 8, 3)
WIDTHS = (len(MAXIMA), 400, 400, 400, 1)
BATCH = 128
UPDATES = 5000
# Ten times the original's, since the lowest validation error stops it: lower errors on every set.
LEARNING_RATE = 1e-4
BETAS, EPSILON = (0.9, 0.999), 1e-8
LOOK_EVERY = 50  # updates


@dataclass(frozen=True)
class PaperMLP:
    """Three hidden layers of 400 with ReLU, fitted to the squared error of latency ÷ its median.

    `parameters`: weight (inputs, outputs) and bias (outputs,) of each layer in turn.
    """

    parameters: tuple[Single, ...]
    unit_ms: float

    @classmethod
    def fit(
        cls,
        architectures: Inputs,
        latencies_ms: Array,
        *,
        validation: Inputs,
        validation_ms: Array,
        seed: int,
        updates: int = UPDATES,
    ) -> "PaperMLP":
        """Adam on mini-batches; returns the state with the least mean relative error in validation."""
        rng = np.random.default_rng(seed)
        unit = float(np.median(latencies_ms))
        x, y = _inputs(architectures), (latencies_ms / unit).astype(np.float32)
        parameters = _initial(rng)
        adam = _Adam(parameters)
        best, least = cls(tuple(parameters), unit), np.inf
        for update in range(1, updates + 1):
            rows = rng.integers(0, len(y), BATCH)
            adam.step(_gradients(parameters, x[rows], y[rows]))
            if update % LOOK_EVERY == 0:
                state = cls(tuple(array.copy() for array in parameters), unit)
                error = float(np.abs(state.predict(validation) / validation_ms - 1).mean())
                if error < least:
                    best, least = state, error
        return best

    def predict(self, architectures: Inputs) -> Array:
        """Latencies in milliseconds (N,)."""
        outputs = _forward(self.parameters, _inputs(architectures))[-1]
        milliseconds: Array = outputs[:, 0].astype(float) * self.unit_ms
        return milliseconds


class _Adam:
    """Kingma and Ba 2015, without weight decay; changes `parameters` in place."""

    def __init__(self, parameters: list[Single]) -> None:
        self._parameters, self._updates = parameters, 0
        self._means = [np.zeros_like(array) for array in parameters]
        self._squares = [np.zeros_like(array) for array in parameters]

    def step(self, gradients: list[Single]) -> None:
        self._updates += 1
        unbias_mean, unbias_square = (1 - beta**self._updates for beta in BETAS)
        for index, gradient in enumerate(gradients):
            mean, square = self._means[index], self._squares[index]
            mean += (1 - BETAS[0]) * (gradient - mean)
            square += (1 - BETAS[1]) * (gradient**2 - square)
            scale = np.sqrt(square / unbias_square) + EPSILON
            self._parameters[index] -= LEARNING_RATE / unbias_mean * mean / scale


def _inputs(architectures: Inputs) -> Single:
    inputs: Single = (paper_features(architectures) / np.array(MAXIMA)).astype(np.float32)
    return inputs


def _initial(rng: np.random.Generator) -> list[Single]:
    """Uniform within ± 1 / √inputs, as the original's library does."""
    shapes = [shape for inputs, outputs in pairwise(WIDTHS) for shape in ((inputs, outputs), (outputs,))]
    limits = [inputs**-0.5 for inputs in WIDTHS[:-1] for _ in "wb"]
    pairs = zip(limits, shapes, strict=True)
    return [rng.uniform(-limit, limit, shape).astype(np.float32) for limit, shape in pairs]


def _forward(parameters: list[Single] | tuple[Single, ...], x: Single) -> list[Single]:
    """The inputs of every layer, and the network's outputs (N, 1)."""
    values = [x]
    for weight, bias in zip(parameters[::2], parameters[1::2], strict=True):
        values.append(values[-1] @ weight + bias)
        if weight is not parameters[-2]:
            np.maximum(values[-1], 0, out=values[-1])
    return values


def _gradients(parameters: list[Single], x: Single, y: Single) -> list[Single]:
    """The gradients of the mean squared error, in the parameters' order."""
    *values, outputs = _forward(parameters, x)
    slope: Single = 2 * (outputs - y[:, None]) / np.float32(len(y))
    gradients: list[Single] = []
    for value, weight in zip(reversed(values), reversed(parameters[::2]), strict=True):
        gradients = [value.T @ slope, slope.sum(axis=0), *gradients]
        slope = (slope @ weight.T) * (value > 0)
    return gradients
