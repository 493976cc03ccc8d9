"""The tests that need a GPU, each with its outcome as a JSON object a line, and their counts last.

    python benchmarks/gpu_tests.py [--rehearsal]

--rehearsal: tests of the same files that need none.
"""

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
REHEARSED = "tests/training/test_device.py"
# Standard output is for the outcomes alone: what pytest and the tests print goes to standard error.
OUTPUT = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)


class Outcomes:
    """A plugin that prints the outcome of every test."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be imported."""
        if report.failed:
            self.say(report.nodeid, "error", str(report.longrepr))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test that has ended, or whose fixtures have failed."""
        if report.when == "call" or report.outcome != "passed":
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr or "")
            self.say(report.nodeid, report.outcome, reason, seconds=round(report.duration, 1))

    def say(self, name: str, outcome: str, reason: str, **more: Any) -> None:
        """Count and print one outcome."""
        self.counts[outcome] += 1
        row = {"test": name, "outcome": outcome, **more}
        if reason:
            row["reason"] = reason[-1500:]
        print(json.dumps(row), file=OUTPUT, flush=True)


def main() -> None:
    files = [REHEARSED]
    if "--rehearsal" not in sys.argv:
        tests = sorted((ROOT / "tests").rglob("test_*.py"))
        files = [str(path) for path in tests if "@on_gpu" in path.read_text(encoding="utf-8")]
    marked = "not gpu" if "--rehearsal" in sys.argv else "gpu"
    outcomes = Outcomes()
    options = ["-m", marked, "--tb", "short", "-p", "no:cacheprovider", "--rootdir", str(ROOT)]
    code = pytest.main([*options, *files], plugins=[outcomes])
    print(json.dumps({"files": len(files), **outcomes.counts}), file=OUTPUT, flush=True)
    sys.exit(int(code))


if __name__ == "__main__":
    main()
