"""Damaged artefacts are refused in one line or translate; nothing crashes, hangs or takes the memory."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("hat.runtime._native", reason="the native engine is not built")

ROOT = Path(__file__).resolve().parents[2]
DEATHS = 5  # crashes and hangs that are told of before giving up


def outcomes(first: int, count: int) -> dict[int, str]:
    """The outcome of each seed's mutant (tests/runtime/fuzz.py), tried in processes of their own."""
    found: dict[int, str] = {}
    for _ in range(DEATHS):
        found |= _until_it_ends(first + len(found), count - len(found))
        if len(found) == count:
            break
    return found


def _until_it_ends(first: int, count: int) -> dict[int, str]:
    command = [sys.executable, "-m", "tests.runtime.fuzz", str(first), str(count)]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    told = [line.split(" ", 1) for line in process.stdout.splitlines()]
    found = {int(seed): result for seed, result in told}
    complaint = process.stderr.strip()[:2000]
    assert found, f"seed {first}: the process did not begin: {complaint}"
    if found[max(found)] == "" or process.returncode not in (0, 1):
        found[max(found)] = f"failed: exit code {process.returncode}: {complaint}"
    return found


def check(first: int, count: int) -> None:
    found = outcomes(first, count)
    failures = {seed: result for seed, result in found.items() if result.startswith("failed")}
    assert not failures, f"{len(failures)} of {count} mutants, by seed: {dict(list(failures.items())[:20])}"
    counts = Counter(result.split(":")[0] for result in found.values())
    print(f"{counts['refused']} refused, {counts['translated']} translated")
    # Neither all damage is fatal nor none: the mutations reach what they are meant to.
    assert min(counts["refused"], counts["translated"]) > count / 10


def test_some_mutants() -> None:
    check(0, 300)


@pytest.mark.slow
def test_many_mutants() -> None:
    check(1000, 10_000)
