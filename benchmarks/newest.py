"""The dated results: `results/KIND-DATE`, a folder or a JSON file."""

import re
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"


def all_of(kind: str) -> list[Path]:
    """All results of a kind, the oldest first: several only of kinds that are kept for each machine."""
    dated = re.compile(rf"{re.escape(kind)}-\d{{4}}-\d\d-\d\d(\.json)?")
    return sorted(
        (path for path in RESULTS.iterdir() if dated.fullmatch(path.name)), key=lambda path: path.stem
    )


def newest(kind: str) -> Path:
    """The newest results of a kind. Raises FileNotFoundError if there are none."""
    results = all_of(kind)
    if not results:
        raise FileNotFoundError(f"{RESULTS}: no results called {kind}-DATE")
    return results[-1]
