"""Weights at rest: precisions, code books, and the file that holds them."""

from hat.runtime.weights.code_books import BOOK, TABLE_BITS, book_of_rows, on_steps, unpack_codes
from hat.runtime.weights.precision import KMEANS_BITS, Array, is_kmeans, pack

__all__ = [
    "BOOK",
    "KMEANS_BITS",
    "TABLE_BITS",
    "Array",
    "book_of_rows",
    "is_kmeans",
    "on_steps",
    "pack",
    "unpack_codes",
]
