"""The division of sources into batches that are decoded together."""

from collections.abc import Iterator, Sequence

from hat.arguments import check_count, whole_number
from hat.runtime.translator import long_input as long


def checked_size(batch: object) -> int:
    """The most sources in a batch, checked. Raises UserError."""
    size = whole_number("batch", batch)
    check_count("batch", size)
    return size


def batches_of(sources: Sequence[Sequence[int]], size: int) -> Iterator[list[int]]:
    """Indices of sources in batches, longest first, so that lengths in a batch are alike.

    Attention's memory grows with the square of the length, so a batch of long sources has fewer of them: it
    never needs more memory than a batch of MAX_SOURCE_TOKENS.
    """
    order = sorted(range(len(sources)), key=lambda index: -len(sources[index]))
    start = 0
    while start < len(order):
        fitting = (long.MAX_SOURCE_TOKENS // len(sources[order[start]])) ** 2
        end = start + max(1, min(size, fitting))
        yield order[start:end]
        start = end
