"""Weights at rest: precisions, code books, and the file that holds them."""

from hat.runtime.weights.code_books import (
    BOOK,
    EMBEDDING_FORMS,
    ONE_A_MATRIX,
    TABLE_BITS,
    CodeBooks,
    book_of_rows,
    on_steps,
    unpack_codes,
)
from hat.runtime.weights.kmeans import INITIALIZATIONS
from hat.runtime.weights.precision import (
    KMEANS_BITS,
    PRECISIONS,
    SCALE,
    Array,
    Stored,
    Weights,
    check_precision,
    is_kmeans,
    pack,
    stored_tensors,
    unpack,
    usual_books,
)
from hat.runtime.weights.tensor_file import TensorFile, write_tensors

__all__ = [
    "BOOK",
    "EMBEDDING_FORMS",
    "INITIALIZATIONS",
    "KMEANS_BITS",
    "ONE_A_MATRIX",
    "PRECISIONS",
    "SCALE",
    "TABLE_BITS",
    "Array",
    "CodeBooks",
    "Stored",
    "TensorFile",
    "Weights",
    "book_of_rows",
    "check_precision",
    "is_kmeans",
    "on_steps",
    "pack",
    "stored_tensors",
    "unpack",
    "unpack_codes",
    "usual_books",
    "write_tensors",
]
