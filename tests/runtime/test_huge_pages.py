"""Huge pages: which memory is asked for, and that what lies in it stays."""

import mmap

import numpy as np
import pytest

from hat.runtime.engines import huge_pages
from hat.runtime.engines.huge_pages import PAGE


@pytest.mark.parametrize(
    ("before", "new"),
    [
        ([], [(10, 50)]),
        ([(10, 50)], []),
        ([(20, 30)], [(10, 20), (30, 50)]),
        ([(0, 20), (40, 60)], [(20, 40)]),
        ([(60, 70)], [(10, 50)]),
    ],
)
def test_only_addresses_that_were_not_mapped_before_are_new(
    before: list[tuple[int, int]], new: list[tuple[int, int]]
) -> None:
    assert list(huge_pages._new([(10, 50)], before)) == new


def test_memory_mapped_in_the_block_keeps_its_content() -> None:
    values = np.arange(PAGE // 2, dtype=np.int64)  # four huge pages
    with huge_pages.huge_pages():
        memory = mmap.mmap(-1, values.nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        found = np.frombuffer(memory, np.int64)
        found[:] = values
    assert np.array_equal(found, values)


def test_a_system_without_proc_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(huge_pages, "MAPS", tmp_path / "maps")
    with huge_pages.huge_pages():
        kept = np.zeros(PAGE)
    assert not kept.any()
