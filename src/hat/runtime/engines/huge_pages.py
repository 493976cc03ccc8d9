"""Huge pages for memory that a library allocates, where HAT cannot ask for them at the allocation.

Every decoder step reads all weights in order. The processor's prefetcher stops at the end of each page, and
a model's packed weights are thousands of pages of 4 KiB: without huge pages a translation with onnxruntime
takes a tenth longer (hat int8, one thread, AMD EPYC).
"""

import ctypes
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

PAGE = 2 << 20  # bytes of a huge page, on x86 and on ARM with 4 KiB pages
MAPS = Path("/proc/self/maps")
ANONYMOUS = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw-p 00000000 00:00 0 *(?:\[heap\])?$", re.MULTILINE)
MADV_HUGEPAGE, MADV_COLLAPSE = 14, 25  # the second since Linux 6.1; before, huge pages come later

Range = tuple[int, int]


@contextmanager
def huge_pages() -> Iterator[None]:
    """Context that asks for huge pages for memory allocated in it; without effect on systems without them."""
    before = _anonymous()
    yield
    for start, end in _new(_anonymous(), before):
        first, last = -(-start // PAGE) * PAGE, end // PAGE * PAGE
        if first < last:
            for advice in (MADV_HUGEPAGE, MADV_COLLAPSE):
                ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), advice)


def _anonymous() -> list[Range]:
    """Address ranges of this process's private memory that does not map a file; none without /proc."""
    try:
        maps = MAPS.read_text(encoding="ascii", errors="replace")
    except OSError:
        return []
    return [(int(start, 16), int(end, 16)) for start, end in ANONYMOUS.findall(maps)]


def _new(after: list[Range], before: list[Range]) -> Iterator[Range]:
    """The parts of `after` outside `before`; neighbouring mappings may have become one."""
    for start, end in after:
        inside = [(max(a, start), min(b, end)) for a, b in before if a < end and b > start]
        edges = [(start, start), *sorted(inside), (end, end)]
        yield from ((a[1], b[0]) for a, b in pairwise(edges) if a[1] < b[0])
