"""Fixtures of a tiny run."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.pipeline.tiny import TINY


@pytest.fixture
def tiny() -> dict[str, Any]:
    """The tiny recipe, to change and write."""
    return deepcopy(TINY)


@pytest.fixture
def recipe_file(tmp_path: Path, tiny: dict[str, Any]) -> Path:
    """The tiny recipe in a file."""
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny, sort_keys=False), encoding="utf-8")
    return path
