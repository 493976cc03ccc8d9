"""Memory that stays with the process between updates."""

import ctypes
import resource

import pytest
import torch

from hat.training.memory import kept_memory

MIB = 1 << 20
PAGES = 100 * MIB // resource.getpagesize()


def page_faults(work: int) -> int:
    """Pages that the system hands out while a tensor of 100 MiB is filled and freed `work` times."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(work):
        torch.empty(100 * MIB, dtype=torch.uint8).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_freed_memory_is_used_again_within_and_given_back_after() -> None:
    with kept_memory():
        page_faults(3)
        assert page_faults(5) < PAGES / 2
    # Huge pages, where the system gives them unasked, are few.
    assert page_faults(5) > 5 * 100 * MIB // (2 * MIB)
