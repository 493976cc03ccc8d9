"""A k-means artefact's weights as the operands of int8 products.

In code books of up to four bits all entries are on int8's steps already (`on_steps`): nothing is lost. Wider
ones are rounded row by row like an int8 artefact's. Tensors are made at each access and not kept.
"""

from collections.abc import Iterator, Mapping
from math import prod

import numpy as np
from numpy.typing import NDArray

from hat.architecture import weight_shapes
from hat.runtime.artefact import Artefact
from hat.runtime.weights.code_books import BOOK, ROW_STEP, TABLE_BITS, book_of_rows, look_up, unpack_codes
from hat.runtime.weights.precision import (
    KMEANS_BITS,
    SCALE,
    Array,
    is_kmeans,
    is_matrix,
    matrix_precision,
    quantize_rows,
    unpack,
)

TABLE = ".table"


class Int8View(Mapping[str, Array]):
    """The tensors of an int8 artefact, from one of k-means."""

    def __init__(self, artefact: Artefact) -> None:
        self._weights = artefact.weights
        self._shapes = weight_shapes(artefact.config.model)
        self._precision, self._books = artefact.config.precision, artefact.config.code_books
        self._bits = KMEANS_BITS[self._precision]

    def __getitem__(self, name: str) -> Array:
        weight = name.removesuffix(SCALE)
        shape = self._shapes[weight]
        if self._is_table(weight):
            tables, steps = self.tables(weight)
            if name == weight:
                return look_up(self.codes(weight), tables, self._books)
            return steps[self.books_of_rows(weight)].reshape(shape[:-1])
        if self.stored_as(weight) != "int8" and is_matrix(weight, shape):
            values, scales = quantize_rows(unpack(weight, shape, self._weights, self._books))
            return scales if name != weight else values
        return self._weights[name]

    def __iter__(self) -> Iterator[str]:
        for name, shape in self._shapes.items():
            yield name
            if is_matrix(name, shape):
                yield name + SCALE

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def stored_as(self, name: str) -> str:
        """The precision at which the artefact has the weight `name`. Raises KeyError."""
        if not is_matrix(name, self._shapes[name]):
            return "float32"
        return matrix_precision(name, self._precision, self._books)

    def _is_table(self, name: str) -> bool:
        return self._bits <= TABLE_BITS and is_kmeans(self.stored_as(name))

    def codes(self, name: str) -> NDArray[np.uint8]:
        """The codes [..., O, I] of a matrix, a byte each."""
        return unpack_codes(self._weights[name], self._bits, self._shapes[name][-1])

    def tables(self, name: str) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        """A matrix's code books (G, 2^bits) in int8, and the step of each."""
        return quantize_rows(self._weights[name + BOOK])

    def books_of_rows(self, name: str) -> NDArray[np.intp]:
        """The code book of each of a matrix's rows."""
        return book_of_rows(prod(self._shapes[name][:-1]), self._books)


class TableView(Int8View):
    """The operands of the native engine's products that look weights up: codes of up to four bits, a byte
    each, with a scale for each row, and a table of 16 int8 values for every 32 rows."""

    def __getitem__(self, name: str) -> Array:
        weight = name.removesuffix(TABLE)
        if name != weight:
            values = self.tables(weight)[0]
            tables = np.zeros((len(values), 1 << TABLE_BITS), np.int8)
            tables[:, : values.shape[1]] = values
            return tables[self.books_of_rows(weight)[::ROW_STEP]]
        if name in self._shapes and self._is_table(name):
            return self.codes(name)
        return super().__getitem__(name)
