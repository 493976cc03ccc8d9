"""Fixtures that every test may use."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.hardware.rig import Rig

# Before torch is imported, here or in a subprocess: tiny products only lose time to a second thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["Rig"]:
    """A device over SSH, on this machine."""
    from hat.hardware.device.ssh import link as ssh  # noqa: PLC0415
    from tests.hardware.rig import Rig  # noqa: PLC0415

    monkeypatch.setattr(ssh, "FIRST_WAIT", 0.1)
    rig = Rig(tmp_path)
    yield rig
    rig.server.kill()
