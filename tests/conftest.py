"""Fixtures that every test may use."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the repository; without it, tests that ask skip."""
    if not (SHARED / "golden").is_dir():
        pytest.skip(f"reference data not found at {SHARED}")
    return SHARED
