"""Batches by token budget, of sentences of similar length, in an order that (seed, epoch) fixes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hat.data.store import TokenStore
from hat.errors import UserError
from hat.tokens import EOS, PAD

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Padded sentences (docs/reference.md, Tokens); B sentences, S and T longest lengths with </s>."""

    source: Ids  # (B, S), left-padded, each ending in </s>
    target_in: Ids  # (B, T), right-padded: </s>, then the target without its last token
    target_out: Ids  # (B, T), right-padded: the target, ending in </s>
    target_tokens: int  # of `target_out`, without padding; a loss is divided by it
    rows: Ids  # (B,), the sentences' indices in the store


def epoch_batches(store: TokenStore, batch_tokens: int, seed: int, epoch: int) -> list[Ids]:
    """The batches of one epoch as arrays of sentence indices; each sentence occurs exactly once.

    A batch of n sentences has n * max(S, T) <= batch_tokens, lengths counted with </s>; a single
    sentence above that is a batch alone. Reads only the lengths.
    """
    rng = np.random.Generator(np.random.PCG64([seed, epoch]))
    batches = _cut(store, rng.permutation(len(store)), batch_tokens)
    return [batches[i] for i in rng.permutation(len(batches))]


def sequential_batches(store: TokenStore, batch_tokens: int) -> list[Ids]:
    """The batches for validation: as `epoch_batches`, shortest first, nothing drawn."""
    return _cut(store, np.arange(len(store)), batch_tokens)


def collate(store: TokenStore, indices: Ids | Sequence[int]) -> Batch:
    """Read the sentences `indices` of `store` into one padded batch."""
    rows = np.asarray(indices, dtype=np.int64)
    sources, source_lengths = _gather(store.source_tokens, store.source_offsets, rows)
    targets, target_lengths = _gather(store.target_tokens, store.target_offsets, rows)
    S, T = int(source_lengths.max()), int(target_lengths.max())

    source = np.full((len(rows), S + 1), PAD, dtype=np.int64)
    source[:, :S][np.arange(S) >= S - source_lengths[:, None]] = sources
    source[:, S] = EOS

    inside = np.arange(T) < target_lengths[:, None]
    target_in = np.full((len(rows), T + 1), PAD, dtype=np.int64)
    target_in[:, 0] = EOS
    target_in[:, 1:][inside] = targets

    target_out = np.full((len(rows), T + 1), PAD, dtype=np.int64)
    target_out[:, :T][inside] = targets
    target_out[np.arange(len(rows)), target_lengths] = EOS
    tokens = int(target_lengths.sum()) + len(rows)
    return Batch(source, target_in, target_out=target_out, target_tokens=tokens, rows=rows)


def split(batch: Batch, parts: int) -> list[Batch]:
    """The batch in `parts` parts of nearly equally many sentences, in order; in single ones if it has fewer.
    Each is as `collate` gives it: without columns that are padding alone."""
    if parts == 1 or len(batch.rows) == 1:
        return [batch]
    groups = np.array_split(np.arange(len(batch.rows)), min(parts, len(batch.rows)))
    return [_part(batch, group) for group in groups]


def _part(batch: Batch, sentences: Ids) -> Batch:
    source, target_in, target_out = (
        array[sentences] for array in (batch.source, batch.target_in, batch.target_out)
    )
    first = int((source != PAD).any(axis=0).argmax())
    tokens = target_out != PAD
    length = int(tokens.sum(axis=1).max())
    return Batch(
        source[:, first:],
        target_in[:, :length],
        target_out=target_out[:, :length],
        target_tokens=int(tokens.sum()),
        rows=batch.rows[sentences],
    )


def _gather(tokens: npt.NDArray[np.integer], offsets: Ids, rows: Ids) -> tuple[Ids, Ids]:
    """The ids of some sentences end to end, and each one's length."""
    starts, ends = offsets[rows], offsets[rows + 1]
    pieces = [tokens[start:end] for start, end in zip(starts, ends, strict=True)]
    return np.concatenate(pieces).astype(np.int64), ends - starts


def _cut(store: TokenStore, ties: Ids, batch_tokens: int) -> list[Ids]:
    """Sort sentences by length, equal ones by `ties`, and cut the row into batches."""
    if batch_tokens < 1:
        raise UserError(f"batch_tokens is {batch_tokens}; it must be at least 1")
    source, target = store.source_lengths + 1, store.target_lengths + 1
    longest = np.maximum(source, target)
    # Among equal longest sides, the source grows against the target, and at the next length shrinks
    # again: neighbours are similar on both sides, across the border too. On Multi30k at 4096 tokens
    # 3.1% is padding, against 4.5% when sorted by (source, target), and there are 6% fewer batches.
    skew = np.where(longest % 2, source - target, target - source)
    order = np.lexsort((ties, skew, longest))
    borders, start = [], 0
    for position, length in enumerate(longest[order].tolist()):
        if length * (position + 1 - start) > batch_tokens and position > start:
            borders.append(position)
            start = position
    return np.split(order, borders)
