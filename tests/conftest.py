"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest

# Before torch is imported, here or in a subprocess: tiny products only lose time to a second thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the repository; without it, tests that ask skip."""
    if not (SHARED / "golden").is_dir():
        pytest.skip(f"reference data not found at {SHARED}")
    return SHARED
