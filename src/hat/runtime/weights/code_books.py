"""Weights as codes: N bits a weight, each the number of an entry in a code book of float32.

A matrix [..., O, I] is seen as rows of I weights. Its codes are packed row by row, the first in the
lowest bits of the first byte; the last byte of a row is filled with zeros. All rows share one code book,
or each group of `CodeBooks.rows` rows has one.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hat.arguments import check_choice, check_count, plain_numbers
from hat.errors import UserError
from hat.runtime.weights.kmeans import INITIALIZATIONS, code_books, nearest

BOOK = ".codebook"
# Codes of at most this many bits are looked up while the native engine multiplies, in tables of int8.
TABLE_BITS = 4
TABLE_STEPS = 127
# Rows (outputs of a layer) that the native engine's kernels look up at a time, in one code book.
ROW_STEP = 32
EMBEDDING_FORMS = ("kmeans", "int8", "float32")

Array = NDArray[Any]
Floats = NDArray[np.float32]
Codes = NDArray[np.uint8]


@dataclass(frozen=True)
class CodeBooks:
    """The form of a k-means artefact's code books.

    `rows`: the number of rows of a matrix that share a code book, a multiple of 32; 0: all of them.
    `embeddings`: the form of embeddings and output projection: "kmeans" like the other matrices, "int8" with
    a scale for each row, or "float32". `initialization`: the centroids from which k-means started.
    """

    rows: int = 0
    embeddings: str = "kmeans"
    initialization: str = "linear"

    def __post_init__(self) -> None:
        """Raises UserError naming the field."""
        plain_numbers(self)
        check_count("rows", self.rows, least=0)
        if self.rows % ROW_STEP:
            raise UserError(f"rows: {self.rows} is not a multiple of {ROW_STEP}")
        check_choice("embeddings", self.embeddings, EMBEDDING_FORMS)
        check_choice("initialization", self.initialization, INITIALIZATIONS)

    def count(self, rows: int) -> int:
        """The number of code books of a matrix of `rows` rows, without listing the `sizes`: a damaged file
        may claim any number of rows."""
        return -(-rows // (self.rows or rows))

    def sizes(self, rows: int) -> list[int]:
        """The number of rows that each code book of a matrix of `rows` rows serves."""
        step = self.rows or rows
        return [min(step, rows - start) for start in range(0, rows, step)]


# A code book for each matrix, as published, embeddings included.
ONE_A_MATRIX = CodeBooks()


def packed_shape(shape: tuple[int, ...], bits: int) -> tuple[int, ...]:
    """Shape of the packed codes (bytes) of a matrix [..., O, I]."""
    return (*shape[:-1], -(-shape[-1] * bits // 8))


def books_shape(shape: tuple[int, ...], bits: int, books: CodeBooks) -> tuple[int, int]:
    """Shape of a matrix's code books."""
    return books.count(prod(shape[:-1])), 1 << bits


def quantize(weight: Floats, bits: int, books: CodeBooks) -> tuple[Codes, Floats]:
    """Packed codes and code books (G, 2^bits) of a matrix [..., O, I] of finite weights. Code books of up to
    four bits are `on_steps`."""
    rows = weight.reshape(-1, weight.shape[-1])
    groups = np.split(rows, np.cumsum(books.sizes(len(rows)))[:-1])
    centroids = code_books(groups, bits, books.initialization)
    if bits <= TABLE_BITS:
        centroids = on_steps(centroids)
    codes = np.concatenate([nearest(group, book) for group, book in zip(groups, centroids, strict=True)])
    return pack_codes(codes.reshape(weight.shape), bits), centroids


def on_steps(books: Floats) -> Floats:
    """Code books (G, K) with each entry moved to the nearest of 255 even steps between minus and plus the
    largest, by at most 1/254 of it: int8 tables then hold them exactly, and all engines agree."""
    steps = np.abs(books).max(axis=1, keepdims=True) / np.float32(TABLE_STEPS)
    steps[steps == 0] = 1
    moved: Floats = np.rint(books / steps) * steps
    return moved


def book_of_rows(rows: int, books: CodeBooks) -> NDArray[np.intp]:
    """The number of the code book of each of a matrix's `rows` rows."""
    sizes = books.sizes(rows)
    return np.repeat(np.arange(len(sizes)), sizes)


def look_up(codes: Codes, values: Array, books: CodeBooks) -> Array:
    """values[book of the row, code] for codes [..., O, I] and values (G, 2^bits): [..., O, I]."""
    rows = codes.reshape(-1, codes.shape[-1])
    weights = np.empty(rows.shape, values.dtype)
    start = 0
    for book, size in zip(values, books.sizes(len(rows)), strict=True):
        np.take(book, rows[start : start + size], out=weights[start : start + size], mode="clip")
        start += size
    return weights.reshape(codes.shape)


def pack_codes(codes: Codes, bits: int) -> Codes:
    """Codes [..., I] below 2^bits, `bits` each: [..., ⌈I · bits / 8⌉]."""
    columns = codes.shape[-1]
    # Eight codes of any width fill `bits` bytes exactly: they are put into one 64-bit word.
    padded = np.zeros((*codes.shape[:-1], -(-columns // 8), 8), np.uint8)
    padded.reshape(*codes.shape[:-1], -1)[..., :columns] = codes
    words = np.zeros(padded.shape[:-1], "<u8")
    for place in range(8):
        words |= padded[..., place].astype("<u8") << np.uint64(bits * place)
    packed = words[..., None].view(np.uint8)[..., :bits].reshape(*codes.shape[:-1], -1)
    return np.ascontiguousarray(packed[..., : -(-columns * bits // 8)])


def unpack_codes(packed: Codes, bits: int, columns: int) -> Codes:
    """The codes [..., columns] that `pack_codes` packed."""
    leading, eights = packed.shape[:-1], -(-columns // 8)
    padded = np.zeros((*leading, eights * bits), np.uint8)
    padded[..., : packed.shape[-1]] = packed
    parts = np.zeros((*leading, eights, 8), np.uint8)
    parts[..., :bits] = padded.reshape(*leading, eights, bits)
    words = parts.view("<u8")[..., 0]
    codes = np.empty((*leading, eights, 8), np.uint8)
    for place in range(8):
        codes[..., place] = (words >> np.uint64(bits * place)) & np.uint64((1 << bits) - 1)
    return np.ascontiguousarray(codes.reshape(*leading, -1)[..., :columns])
