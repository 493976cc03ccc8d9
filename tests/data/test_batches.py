"""Batches cover an epoch once, keep the token budget, waste little, lie as the network reads."""

from pathlib import Path

import numpy as np
import pytest

from hat.data import TokenStore, collate, epoch_batches, sequential_batches, write_store
from hat.errors import UserError


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    """3,000 pairs with lengths spread as in real text (log-normal, target near source)."""
    rng = np.random.default_rng(1)
    lengths = np.maximum(1, rng.lognormal(3, 0.5, 3000).astype(int))
    targets = np.maximum(1, (lengths * rng.normal(1.05, 0.15, 3000)).astype(int))
    sides = [[rng.integers(4, 50, n).tolist() for n in side] for side in (lengths, targets)]
    return write_store(tmp_path_factory.mktemp("store") / "s", [(sides[0], sides[1])], (50, 50))


def test_layout(tmp_path: Path) -> None:
    store = write_store(tmp_path / "s", [([[5, 6, 7], [8]], [[9], [10, 11]])], (20, 20))
    batch = collate(store, [0, 1])
    assert batch.source.tolist() == [[5, 6, 7, 2], [1, 1, 8, 2]]
    assert batch.target_in.tolist() == [[2, 9, 1], [2, 10, 11]]
    assert batch.target_out.tolist() == [[9, 2, 1], [10, 11, 2]]
    assert batch.target_tokens == 5
    assert {a.dtype for a in (batch.source, batch.target_in, batch.target_out)} == {np.dtype("i8")}
    assert collate(store, np.array([1])).source.tolist() == [[8, 2]]


def test_layout_of_empty_sentences(tmp_path: Path) -> None:
    store = write_store(tmp_path / "s", [([[], []], [[], []])], (20, 20))
    batch = collate(store, [0, 1])
    assert batch.source.tolist() == batch.target_in.tolist() == batch.target_out.tolist()
    assert batch.source.tolist() == [[2], [2]]
    assert batch.target_tokens == 2


def test_rows_are_the_sentences(store: TokenStore) -> None:
    indices = epoch_batches(store, 2000, seed=1, epoch=0)[3]
    batch = collate(store, indices)
    for row, index in enumerate(indices):
        source, target = store.source(index).tolist(), store.target(index).tolist()
        assert [i for i in batch.source[row].tolist() if i != 1] == [*source, 2]
        assert [i for i in batch.target_in[row].tolist() if i != 1] == [2, *target]
        assert [i for i in batch.target_out[row].tolist() if i != 1] == [*target, 2]
    assert batch.target_tokens == np.count_nonzero(batch.target_out != 1)


@pytest.mark.parametrize("budget", [1, 200, 1000, 4096, 10**9])
def test_every_sentence_once_within_the_budget(store: TokenStore, budget: int) -> None:
    for batches in (epoch_batches(store, budget, 1, 5), sequential_batches(store, budget)):
        assert np.array_equal(np.sort(np.concatenate(batches)), np.arange(len(store)))
        for batch in batches:
            longest = 1 + max(store.source_lengths[batch].max(), store.target_lengths[batch].max())
            assert len(batch) == 1 or longest * len(batch) <= budget
    assert (len(batches) == len(store)) == (budget == 1)
    assert (len(batches) == 1) == (budget == 10**9)


def test_little_padding_and_full_batches(store: TokenStore) -> None:
    batches = epoch_batches(store, 1000, 1, 0)
    padded = real = 0
    for batch in (collate(store, indices) for indices in batches):
        padded += batch.source.size + batch.target_out.size
        real += np.count_nonzero(batch.source != 1) + batch.target_tokens
    assert real / padded > 0.9
    assert real / (2 * 1000 * len(batches)) > 0.85


def flat(batches: list[np.ndarray]) -> list[list[int]]:  # type: ignore[type-arg]
    return [batch.tolist() for batch in batches]


def test_order_follows_seed_and_epoch(store: TokenStore) -> None:
    first = flat(epoch_batches(store, 1000, 1, 0))
    assert first == flat(epoch_batches(TokenStore.open(store.folder), 1000, 1, 0))
    assert first[0] != sorted(first)[0]
    for seed, epoch in [(1, 1), (2, 0), (0, 1)]:
        other = flat(epoch_batches(store, 1000, seed, epoch))
        assert sorted(map(sorted, first)) != sorted(map(sorted, other))  # other company, not only order


def test_order_is_pinned(tmp_path: Path) -> None:
    """A resumed run must meet the same batches after an upgrade: this guards the exact order."""
    sides = [[[5] * (1 + i % 4) for i in range(12)], [[5] * (1 + i % 3) for i in range(12)]]
    store = write_store(tmp_path / "s", [(sides[0], sides[1])], (20, 20))
    assert flat(epoch_batches(store, 12, seed=3, epoch=2)) == [
        [6, 10, 2],
        [5, 8],
        [0, 4, 1, 9],
        [11, 7],
        [3],
    ]


def test_sequential_is_shortest_first(store: TokenStore) -> None:
    longest = np.maximum(store.source_lengths, store.target_lengths)
    lengths = np.concatenate([longest[batch] for batch in sequential_batches(store, 1000)])
    assert np.all(np.diff(lengths) >= 0)
    assert flat(sequential_batches(store, 1000)) == flat(sequential_batches(store, 1000))


def test_no_budget(store: TokenStore) -> None:
    with pytest.raises(UserError, match="batch_tokens is 0"):
        epoch_batches(store, 0, 1, 1)
