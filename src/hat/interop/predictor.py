"""The published latency predictor's weights: a network of ten features, without PyTorch to run it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hat.errors import UserError
from hat.interop.checkpoint import read_state_dict

Floats = NDArray[np.float32]

# The norms of every published predictor; latencies are divided by LATENCY_NORM unless the file has another.
FEATURE_NORM = (640.0, 6.0, 2048.0, 6.0, 640.0, 6.0, 2048.0, 6.0, 6.0, 2.0)
LATENCY_NORM = 200.0


@dataclass(frozen=True)
class ReferencePredictor:
    """Linear layers with ReLU between them. `layers`: (weight (out, in), bias (out,)), input first."""

    layers: tuple[tuple[Floats, Floats], ...]
    feature_norm: Floats
    latency_norm: float

    def predict(self, features: ArrayLike) -> NDArray[np.float64]:
        """Latencies in ms (N,) of rows of features (N, F), as `hat.predictor.features.paper_features` gives.

        Raises UserError for another number of features.
        """
        rows = np.atleast_2d(np.asarray(features, np.float32))
        if rows.shape[-1] != len(self.feature_norm):
            raise UserError(f"{rows.shape[-1]} features; this predictor takes {len(self.feature_norm)}")
        hidden = rows / self.feature_norm
        *inner, (weight, bias) = self.layers
        for inner_weight, inner_bias in inner:
            hidden = np.maximum(hidden @ inner_weight.T + inner_bias, 0)
        return (hidden @ weight.T + bias)[:, 0].astype(np.float64) * self.latency_norm


def load_reference_predictor(
    path: Path | str, feature_norm: Sequence[float] = FEATURE_NORM, latency_norm: float = LATENCY_NORM
) -> ReferencePredictor:
    """The published predictor in a `.pt` file, whose norms stand in the YAML beside it.

    Raises UserError where the file is damaged, holds unexpected objects, or its layers do not fit.
    """
    arrays = {name: tensor.float().numpy() for name, tensor in read_state_dict(Path(path)).items()}
    hidden = sorted({int(name.split(".")[1]) for name in arrays if _is_hidden(name)})
    names = ["first_layer", *(f"layers.{index}" for index in hidden), "predict"]
    expected = {f"{name}.{kind}" for name in names for kind in ("weight", "bias")}
    if wrong := sorted(expected ^ arrays.keys()):
        verb = "is missing" if wrong[0] in expected else "is not a predictor's"
        raise UserError(f"{path}: tensor {wrong[0]} {verb}")
    width = len(feature_norm)
    for name in names:
        width = _check_layer(arrays, name, width, str(path))
    if width != 1:
        raise UserError(f"{path}: tensor predict.weight: {width} outputs, expected 1")
    layers = tuple((arrays[f"{name}.weight"], arrays[f"{name}.bias"]) for name in names)
    return ReferencePredictor(layers, np.array(feature_norm, np.float32), float(latency_norm))


def _is_hidden(name: str) -> bool:
    parts = name.split(".")
    return len(parts) == 3 and parts[0] == "layers" and parts[1].isdecimal()


def _check_layer(arrays: Mapping[str, Floats], name: str, inputs: int, path: str) -> int:
    """The layer's number of outputs. Raises UserError where it does not take `inputs`."""
    weight, bias = arrays[f"{name}.weight"], arrays[f"{name}.bias"]
    if weight.ndim != 2 or weight.shape[1] != inputs or bias.shape != weight.shape[:1]:
        problem = f"shape {weight.shape} with a bias of {bias.shape}, expected {inputs} inputs"
        raise UserError(f"{path}: tensor {name}.weight: {problem}")
    return int(weight.shape[0])
