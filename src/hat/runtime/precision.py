"""How weights are stored: what each precision makes of a tensor, and how it becomes float32 again.

float32 stores everything as it is. bfloat16 and int8 store the matrices (embeddings and `.weight`s
of two and more dimensions) smaller; biases and norms, a thousandth of the bytes, stay float32.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hat.architecture import ModelConfig, weight_shapes
from hat.errors import UserError, shown

PRECISIONS = ("float32", "bfloat16", "int8")
SCALE = ".scale"
# Element type in safetensors → in numpy, which has no bfloat16: its bit patterns stand for it.
DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "BF16": np.dtype("<u2"), "I8": np.dtype("i1")}
MATRIX_TYPES = {"float32": "F32", "bfloat16": "BF16", "int8": "I8"}

Array = NDArray[Any]
Weights = Mapping[str, Array]
# Tensor name → element type in safetensors and shape.
Stored = dict[str, tuple[str, tuple[int, ...]]]


def check_precision(precision: object, where: str) -> None:
    """Raises UserError where `precision` is none of PRECISIONS."""
    if precision not in PRECISIONS:
        raise UserError(f"{where}: {shown(precision)}; the choices are {', '.join(PRECISIONS)}")


def is_matrix(name: str, shape: tuple[int, ...]) -> bool:
    """Whether the weight is stored at the model's precision. Biases are not, stacked ones neither."""
    return len(shape) > 1 and not name.endswith(".bias")


def stored_tensors(config: ModelConfig, precision: str) -> Stored:
    """What a model's file holds: an int8 matrix [..., O, I] is followed by its scales [..., O]."""
    stored: Stored = {}
    for name, shape in weight_shapes(config).items():
        matrix = is_matrix(name, shape)
        stored[name] = (MATRIX_TYPES[precision] if matrix else "F32", shape)
        if matrix and precision == "int8":
            stored[name + SCALE] = ("F32", shape[:-1])
    return stored


def pack(name: str, weight: NDArray[np.float32], precision: str) -> dict[str, Array]:
    """The tensors that store one weight. Raises UserError for values that are not finite."""
    if precision == "float32" or not is_matrix(name, weight.shape):
        return {name: weight}
    check_values(name, weight, "weights")
    if precision == "bfloat16":
        return {name: to_bfloat16(weight)}
    values, scales = quantize_rows(weight)
    return {name: values, name + SCALE: scales}


def unpack(name: str, stored: Weights) -> NDArray[np.float32]:
    """One weight in float32, from a model's stored tensors."""
    values = stored[name]
    if values.dtype == DTYPES["BF16"]:
        return from_bfloat16(values)
    if values.dtype == DTYPES["I8"]:
        return dequantize_rows(values, stored[name + SCALE])
    return values


def quantize_rows(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric int8: weight [..., O, I] ≈ values [..., O, I] (-127 to 127) × scales [..., O].

    A row of zeros (or so small that its scale would be zero) gets the scale 1.
    """
    scales = np.maximum(weight.max(-1), -weight.min(-1)) / np.float32(127)
    scales[scales == 0] = 1
    values = weight / scales[..., None]
    np.rint(values, out=values)
    # A subnormal scale is coarse enough to leave the range.
    np.clip(values, -127, 127, out=values)
    return values.astype(np.int8), scales


def dequantize_rows(values: NDArray[np.int8], scales: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values [..., O, I] × scales [..., O]."""
    weight: NDArray[np.float32] = np.multiply(values, scales[..., None], dtype=np.float32)
    return weight


def to_bfloat16(weight: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The bit patterns of the nearest bfloat16 values, ties to even. Values must be finite."""
    bits = np.ascontiguousarray(weight).view(np.uint32)
    # Half of the dropped part, less one where the kept part is even: carries exactly when it should.
    half = ((bits >> 16) & 1) + np.uint32(0x7FFF)
    return ((bits + half) >> 16).astype(np.uint16)


def from_bfloat16(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The float32 values of bfloat16 bit patterns, exactly."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def check_values(name: str, array: Array, where: str) -> None:
    """Raises UserError for what no weight may be: not finite, a scale that is not positive, or -128."""
    if array.dtype == DTYPES["BF16"]:
        finite = bool((array & 0x7FFF).max() < 0x7F80)
        least = 1
    else:
        # The extremes show NaN and infinity too, and finding them needs no second array.
        least = array.min()
        finite = bool(np.isfinite(least) and np.isfinite(array.max()))
    if not finite:
        raise UserError(f"{where}: tensor {name} holds values that are not finite")
    if array.dtype == DTYPES["I8"] and least < -127:
        raise UserError(f"{where}: tensor {name} holds {least}; int8 weights go from -127 to 127")
    if name.endswith(SCALE) and least <= 0:
        raise UserError(f"{where}: tensor {name} holds {least:g}; scales are positive")
