"""The verdicts of the engines' benchmark."""

import numpy as np
import pytest
from benchmarks.engine_report import REQUIREMENTS, Requirement, judge, markdown, paired_ratio

PEER = ("peer ×1", "peer ×2")
# Their 95 % interval reaches from the lowest to the highest of the seven ratios.
TIMES = {
    "ours": [4.0, 5.0, 6.0, 4.0, 5.0, 4.0, 4.2],
    "peer ×1": [9.0] * 7,
    "peer ×2": [8.0, 10.0, 8.0, 8.0, 10.0, 8.0, 8.4],
}
SECTIONS = {"model": {"times_ms": TIMES, "floor_ms": {"float32": 3.0}}}


def requirement(must: float, aim: float | None = None, **options: object) -> Requirement:
    return Requirement("model", "name", "ours", PEER, must, aim, **options)  # type: ignore[arg-type]


def test_ratio_is_the_median_of_pairs() -> None:
    ratio, low, high = paired_ratio(TIMES["ours"], TIMES["peer ×2"])
    assert ratio == 0.5
    assert (low, high) == (0.5, 0.75)


@pytest.mark.parametrize(
    ("asked", "verdict", "aim_verdict"),
    [
        (requirement(0.75, 0.4), "met", "not met"),
        (requirement(0.74, 0.5), "not shown", "not shown"),
        (requirement(0.49), "not met", "–"),
        (requirement(1.33, 2.1, speed=True), "met", "not met"),
        (requirement(2.0, speed=True), "not shown", "–"),
        (requirement(0.75, floor="float32"), "met", "not met"),
    ],
)
def test_verdicts_against_the_faster_peer(asked: Requirement, verdict: str, aim_verdict: str) -> None:
    found = judge(asked, SECTIONS)
    assert found["against"] == "peer ×2"
    assert (found["verdict"], found["aim_verdict"]) == (verdict, aim_verdict)


def test_the_floor_is_an_aim() -> None:
    assert judge(requirement(0.5, floor="float32"), SECTIONS)["aim"] == pytest.approx(1.1 * 3.0 / 8.0)


def test_too_few_runs_have_no_interval_and_meet_nothing() -> None:
    few = {"model": {"times_ms": {name: own[:5] for name, own in TIMES.items()}}}
    found = judge(requirement(0.9), few)
    assert (found["low"], found["high"], found["verdict"]) == (None, None, "not shown")


@pytest.mark.parametrize("runs", [6, 9, 15, 40])
def test_a_ratio_of_paired_runs_is_in_its_interval_in_95_of_100_comparisons(runs: int) -> None:
    """Of runs that share what the machine does, some of which are disturbed."""
    rng = np.random.default_rng(runs)
    covered = 0
    for _ in range(1000):
        machine = np.cumsum(0.02 * rng.standard_normal(runs)) + np.where(rng.random(runs) < 0.1, 0.5, 0.0)
        ours, theirs = np.exp(machine + 0.03 * rng.standard_normal((2, runs)))
        _, low, high = paired_ratio((0.5 * ours).tolist(), theirs.tolist())
        covered += low <= 0.5 <= high
    assert covered >= 940


def test_what_was_not_measured_is_said() -> None:
    assert judge(requirement(0.5), {})["verdict"] == "not measured"
    only = {"model": {"times_ms": {"ours": [1.0]}}}
    assert judge(requirement(0.5), only)["verdict"] == "not measured"


def test_report_of_a_section() -> None:
    protocol = {"source_lengths": [30], "target_lengths": [30], "beam": 5, "batch": 1, "rounds": 6}
    times = {"native int8 ×1": [4.0] * 6, "ctranslate2 int8 ×1": [10.0] * 6, "ctranslate2 int8 ×2": [8.0] * 6}
    section = {
        "model": "6 + 6 layers",
        "protocol": protocol,
        "times_ms": times,
        "floor_ms": {"int8": 2.0, "float32": 8.0},
        "absent": dict.fromkeys(("onnxruntime int8 ×1", "torch float32 ×1"), "not installed"),
    }
    machine = {"cpu": "CPU", "flags": ["avx2"], "cores_allowed": 2, "load_average": 0.5}
    report = {
        "date": "2026-01-01",
        "environment": machine | {"onnxruntime": "1", "torch": None},
        "instruction_set": "avx2",
        "ctranslate2": "4",
        "read_gb_per_s": 10.0,
        "sections": {"vanilla": section},
    }
    text = markdown(report)
    assert "| vanilla int8, 1 thread | ≤ 0.55 | ≤ 0.35 | 0.50 | 0.50–0.50 | met | not met |" in text
    assert "| native int8 ×1 | 4.0 | 4.0 | 4.0 | 7,500 | 0.50 |" in text
    assert "Not measured: onnxruntime int8 ×1, torch float32 ×1 (not installed)." in text
    assert "one thread 2.0 ms in int8, 8.0 ms in float32" in text
    assert text.count("not measured | not measured") == len(REQUIREMENTS) - 1
