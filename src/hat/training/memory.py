"""Memory that stays with the process between updates.

An update allocates and frees gigabytes in tensors of many megabytes. The C library gets each of them from the
system and gives it back; the system then clears every page anew, which took a fifth of an update.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from hat.training.accelerator import accelerator

# Parameters of glibc's mallopt, and their values by default, once its own adaptation has ended.
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
DEFAULTS = {MMAP_MAX: 65536, MMAP_THRESHOLD: 32 << 20, TRIM_THRESHOLD: 64 << 20}


@contextmanager
def kept_memory() -> Iterator[None]:
    """Context in which freed memory is used again instead of given back; after it, it is given back.

    Without effect where the C library is not glibc.
    """
    library = _glibc()
    if library is None:
        yield
        return
    library.mallopt(MMAP_MAX, 0)
    library.mallopt(TRIM_THRESHOLD, -1)
    try:
        yield
    finally:
        for parameter, value in DEFAULTS.items():
            library.mallopt(parameter, value)
        library.malloc_trim(0)


def give_back_memory() -> None:
    """Give back the memory that nothing uses, after it has run out."""
    if accelerator().type == "cuda":
        torch.cuda.empty_cache()
    if library := _glibc():
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
