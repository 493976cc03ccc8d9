"""k-means of weights: how good the code books are, and codes packed to the bit."""

from math import prod
from pathlib import Path

import numpy as np
import pytest

from hat.architecture import (
    Architecture,
    Decoder,
    DecoderLayer,
    Encoder,
    EncoderLayer,
    ModelConfig,
    weight_shapes,
)
from hat.runtime import Artefact, CodeBooks
from hat.runtime.weights.code_books import books_shape, on_steps, pack_codes, quantize, unpack_codes
from hat.runtime.weights.kmeans import INITIALIZATIONS, code_books, nearest
from hat.runtime.weights.precision import is_matrix

# Mean squared error of the best code book of 2^bits entries for N(0, 1) (Max 1960, table I).
BEST_FOR_NORMAL = {1: 0.3634, 2: 0.1175, 3: 0.03454, 4: 0.009497, 5: 0.002499}


def plain_lloyd(weights: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """The textbook, weight by weight."""
    for _ in range(300):
        owners = np.abs(weights[:, None] - centroids).argmin(axis=1)
        moved = [weights[owners == k].mean() if (owners == k).any() else c for k, c in enumerate(centroids)]
        if np.array_equal(moved, centroids):
            break
        centroids = np.array(moved)
    return centroids


@pytest.mark.parametrize("initialization", INITIALIZATIONS)
@pytest.mark.parametrize("bits", BEST_FOR_NORMAL)
def test_nearly_the_best_code_book_there_is(bits: int, initialization: str) -> None:
    weights = np.random.default_rng(1).normal(size=100_000).astype(np.float32)
    [book] = code_books([weights], bits, initialization)
    assert (np.diff(book) > 0).all()
    error = float(((weights - book[nearest(weights, book)]) ** 2).mean())
    assert 0.97 * BEST_FOR_NORMAL[bits] < error < 1.1 * BEST_FOR_NORMAL[bits]


def test_as_the_textbook() -> None:
    weights = np.random.default_rng(2).standard_t(4, size=3000)
    expected = plain_lloyd(weights, np.linspace(weights.min(), weights.max(), 8))
    [book] = code_books([weights.astype(np.float32)], 3, "linear")
    np.testing.assert_allclose(book, expected, atol=0.02 * np.abs(expected).max())


@pytest.mark.parametrize("initialization", INITIALIZATIONS)
def test_few_different_weights_are_kept(initialization: str) -> None:
    for values in ([0.0], [3e-41, 2e-41], [-7.0, 2.5], [-3e38, 3e38], np.linspace(-1, 2, 16)):
        weights = np.resize(np.array(values, np.float32), 500)
        [book] = code_books([weights], 4, initialization)
        assert np.isfinite(book).all()
        error = np.abs(book[nearest(weights, book)].astype(np.float64) - weights).max()
        assert error <= 1e-6 * np.abs(weights).max()


@pytest.mark.parametrize("initialization", INITIALIZATIONS)
def test_groups_do_not_depend_on_each_other(initialization: str) -> None:
    rng = np.random.default_rng(3)
    groups = [(rng.normal(size=(32, 20)) * 10**scale).astype(np.float32) for scale in range(-3, 3)]
    together = code_books(groups, 8, initialization)
    for group, book in zip(groups, together, strict=True):
        np.testing.assert_array_equal(code_books([group], 8, initialization)[0], book)


@pytest.mark.parametrize("bits", range(1, 9))
def test_codes_are_packed_to_the_bit(bits: int) -> None:
    rng = np.random.default_rng(bits)
    for shape in ((1, 1), (3, 5, 7), (4, 8), (2, 64), (5, 33)):
        codes = rng.integers(0, 1 << bits, shape, np.uint8)
        packed = pack_codes(codes, bits)
        assert packed.shape == (*shape[:-1], -(-shape[-1] * bits // 8))
        np.testing.assert_array_equal(unpack_codes(packed, bits, shape[-1]), codes)
        as_bits = np.unpackbits(codes[..., None], axis=-1, count=bits, bitorder="little")
        expected = np.packbits(as_bits.reshape(*shape[:-1], -1), axis=-1, bitorder="little")
        np.testing.assert_array_equal(packed, expected)


def test_two_codes_of_four_bits_are_a_byte() -> None:
    assert pack_codes(np.array([[1, 2, 15]], np.uint8), 4).tolist() == [[0x21, 0x0F]]


def test_code_books_of_four_bits_are_on_the_steps_of_int8() -> None:
    weight = np.random.default_rng(4).normal(size=(64, 40)).astype(np.float32)
    _, books = quantize(weight, 4, CodeBooks(32))
    steps = np.abs(books).max(axis=1, keepdims=True) / 127
    np.testing.assert_allclose(books / steps, np.rint(books / steps), atol=1e-4)
    free = code_books([weight[:32], weight[32:]], 4, "linear")
    assert (np.abs(on_steps(free) - free) <= np.abs(free).max(axis=1, keepdims=True) / 253).all()
    assert not on_steps(np.zeros((1, 16), np.float32)).any()


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_group_of_rows_has_its_own_code_book(bits: int) -> None:
    rng = np.random.default_rng(5)
    weight = rng.normal(size=(2, 48, 16)).astype(np.float32)
    weight[1] *= 50
    whole, grouped = (quantize(weight, bits, CodeBooks(rows)) for rows in (0, 32))
    assert (whole[1].shape, grouped[1].shape) == ((1, 1 << bits), (3, 1 << bits))
    assert np.abs(grouped[1][0]).max() < 5 < np.abs(grouped[1][1]).max()


@pytest.mark.parametrize(("rows", "count"), [(0, 1), (32, 1 << 55)])
def test_the_shape_of_code_books_takes_no_memory(rows: int, count: int) -> None:
    assert books_shape((1 << 30, 1 << 30, 8), 4, CodeBooks(rows)) == (count, 16)


@pytest.mark.parametrize("bits", [1, 3, 4])
def test_the_file_has_so_many_bits_a_weight(bits: int, tmp_path: Path) -> None:
    layer, decoder = EncoderLayer(256, 4), DecoderLayer(256, 4, 4)
    model = ModelConfig(Architecture(128, Encoder(128, (layer,)), Decoder(128, (decoder,))), 1000, 1000)
    Artefact.random(model, 1, f"kmeans{bits}").save(tmp_path / "model")
    shapes = weight_shapes(model).items()
    matrices = [shape for name, shape in shapes if is_matrix(name, shape)]
    books = sum(-(-prod(shape[:-1]) // 32) for shape in matrices)  # one per 32 rows
    others = sum(prod(shape) for name, shape in shapes if not is_matrix(name, shape))
    expected = sum(map(prod, matrices)) * bits // 8 + books * 4 * 2**bits + 4 * others
    size = (tmp_path / "model" / "model.safetensors").stat().st_size
    assert 0 < size - expected < 8000  # the header
