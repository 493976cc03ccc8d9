"""The forms in which weights are stored, and the ways from float32 to each and back.

float32 stores weights unchanged. The others store the matrices (embeddings and `.weight`s of two
and more dimensions) smaller: bfloat16, int8, and kmeans1 to kmeans8, whose codes of 1 to 8 bits refer to
code books (`hat.runtime.weights.code_books`). Biases and norms, a thousandth of the bytes, stay float32.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hat.architecture import EMBEDDING_NAMES, ModelConfig, weight_shapes
from hat.arguments import check_choice
from hat.errors import UserError
from hat.runtime.weights.code_books import (
    BOOK,
    ONE_A_MATRIX,
    ROW_STEP,
    TABLE_BITS,
    CodeBooks,
    books_shape,
    look_up,
    packed_shape,
    quantize,
    unpack_codes,
)

# Bits of a code.
KMEANS_BITS = {f"kmeans{bits}": bits for bits in range(1, 9)}
PRECISIONS = ("float32", "bfloat16", "int8", *KMEANS_BITS)
SCALE = ".scale"
# Element type in safetensors → in numpy, which has no bfloat16: its bit patterns stand for it.
DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "BF16": np.dtype("<u2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
}
# The largest number that is finite if multiplied by 127.
LARGEST_SCALE = np.nextafter(np.finfo(np.float32).max / np.float32(127), np.float32(0))
MATRIX_TYPES = {"float32": "F32", "bfloat16": "BF16", "int8": "I8"}

Array = NDArray[Any]
Weights = Mapping[str, Array]
# Tensor name → element type in safetensors and shape.
Stored = dict[str, tuple[str, tuple[int, ...]]]


def check_precision(precision: object, where: str) -> None:
    """Raises UserError where `precision` is none of PRECISIONS."""
    check_choice(where, precision, PRECISIONS)


def is_kmeans(precision: object) -> bool:
    """True for the k-means precisions."""
    return isinstance(precision, str) and precision in KMEANS_BITS


def is_matrix(name: str, shape: tuple[int, ...]) -> bool:
    """True for a weight that is stored at the model's precision, False for biases, stacked ones too."""
    return len(shape) > 1 and not name.endswith(".bias")


def usual_books(precision: str) -> CodeBooks:
    """The default form of a precision's code books.

    Up to 4 bits: one for every 32 rows. Two models for Multi30k lost 0.017 and 0.023 nats a token with them
    at 4 bits, and 0.036 and 0.034 with one for each matrix, which saves 1.4 % of the bytes and no time. Wider
    codes have one large book for each matrix.
    """
    return CodeBooks(ROW_STEP) if KMEANS_BITS.get(precision, 8) <= TABLE_BITS else ONE_A_MATRIX


def matrix_precision(name: str, precision: str, books: CodeBooks) -> str:
    """The precision at which the matrix `name` of a model at `precision` is stored."""
    if precision in KMEANS_BITS and name in EMBEDDING_NAMES and books.embeddings != "kmeans":
        return books.embeddings
    return precision


def stored_tensors(config: ModelConfig, precision: str, books: CodeBooks = ONE_A_MATRIX) -> Stored:
    """The tensors of a model's file: an int8 matrix [..., O, I] is followed by its scales [..., O], a matrix
    of codes by its code books (G, 2^bits)."""
    stored: Stored = {}
    for name, shape in weight_shapes(config).items():
        form = matrix_precision(name, precision, books) if is_matrix(name, shape) else "float32"
        if form in KMEANS_BITS:
            bits = KMEANS_BITS[form]
            stored[name] = ("U8", packed_shape(shape, bits))
            stored[name + BOOK] = ("F32", books_shape(shape, bits, books))
            continue
        stored[name] = (MATRIX_TYPES[form], shape)
        if form == "int8":
            stored[name + SCALE] = ("F32", shape[:-1])
    return stored


def pack(
    name: str, weight: NDArray[np.float32], precision: str, books: CodeBooks = ONE_A_MATRIX
) -> dict[str, Array]:
    """The tensors that store one weight. Raises UserError for values that are not finite."""
    form = matrix_precision(name, precision, books)
    if form == "float32" or not is_matrix(name, weight.shape):
        return {name: weight}
    check_values(name, weight, "weights")
    if form == "bfloat16":
        return {name: to_bfloat16(weight)}
    if form == "int8":
        values, scales = quantize_rows(weight)
        return {name: values, name + SCALE: scales}
    codes, centroids = quantize(weight, KMEANS_BITS[form], books)
    return {name: codes, name + BOOK: centroids}


def unpack(
    name: str, shape: tuple[int, ...], stored: Weights, books: CodeBooks = ONE_A_MATRIX
) -> NDArray[np.float32]:
    """One weight of `shape` in float32, from a model's stored tensors."""
    values = stored[name]
    if values.dtype == DTYPES["BF16"]:
        return from_bfloat16(values)
    if values.dtype == DTYPES["I8"]:
        return dequantize_rows(values, stored[name + SCALE])
    if values.dtype == DTYPES["U8"]:
        centroids = stored[name + BOOK]
        codes = unpack_codes(values, centroids.shape[1].bit_length() - 1, shape[-1])
        return look_up(codes, centroids, books)
    return values


def quantize_rows(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric int8: weight [..., O, I] ≈ values [..., O, I] (-127 to 127) × scales [..., O]. A row of zeros
    (or so small that its scale would be zero) gets the scale 1."""
    scales = np.maximum(weight.max(-1), -weight.min(-1)) / np.float32(127)
    scales[scales == 0] = 1
    np.minimum(scales, LARGEST_SCALE, out=scales)
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
    """Raises UserError for impossible weights: values that are not finite, -128, and scales that are not
    positive or make weights that are not finite."""
    if array.dtype == DTYPES["BF16"]:
        finite, least = bool((array & 0x7FFF).max() < 0x7F80), 1
    else:
        # The extremes are NaN or infinite if any value is, and their search needs no second array.
        least = array.min()
        finite = bool(np.isfinite(least) and np.isfinite(array.max()))
    if not finite:
        raise UserError(f"{where}: tensor {name} holds values that are not finite")
    if array.dtype == DTYPES["I8"] and least < -127:
        raise UserError(f"{where}: tensor {name} holds {least}; int8 weights go from -127 to 127")
    if name.endswith(SCALE) and least <= 0:
        raise UserError(f"{where}: tensor {name} holds {least:g}; scales are positive")
    if name.endswith(SCALE) and (most := array.max()) > LARGEST_SCALE:
        raise UserError(f"{where}: tensor {name} holds {most:g}, which makes weights that are not finite")
