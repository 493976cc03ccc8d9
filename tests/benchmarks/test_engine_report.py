"""The verdicts of the engines' benchmark."""

import pytest
from benchmarks.engine_report import REQUIREMENTS, Requirement, judge, markdown, paired_ratio

PEER = ("peer ×1", "peer ×2")
TIMES = {"ours": [4.0, 5.0, 6.0], "peer ×1": [9.0, 9.0, 9.0], "peer ×2": [8.0, 10.0, 8.0]}
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
        (requirement(0.5, 0.4), "met", "missed"),
        (requirement(0.49), "missed", "–"),
        (requirement(2.0, 2.1, speed=True), "met", "missed"),
        (requirement(2.1, speed=True), "missed", "–"),
        (requirement(0.5, floor="float32"), "met", "missed"),
    ],
)
def test_verdicts_against_the_faster_peer(asked: Requirement, verdict: str, aim_verdict: str) -> None:
    found = judge(asked, SECTIONS)
    assert found["against"] == "peer ×2"
    assert (found["verdict"], found["aim_verdict"]) == (verdict, aim_verdict)


def test_the_floor_is_an_aim() -> None:
    assert judge(requirement(0.5, floor="float32"), SECTIONS)["aim"] == pytest.approx(1.1 * 3.0 / 8.0)


def test_what_was_not_measured_is_said() -> None:
    assert judge(requirement(0.5), {})["verdict"] == "not measured"
    only = {"model": {"times_ms": {"ours": [1.0]}}}
    assert judge(requirement(0.5), only)["verdict"] == "not measured"


def test_report_of_a_section() -> None:
    protocol = {"source_lengths": [30], "target_lengths": [30], "beam": 5, "batch": 1, "rounds": 3}
    times = {"native int8 ×1": [4.0] * 3, "ctranslate2 int8 ×1": [10.0] * 3, "ctranslate2 int8 ×2": [8.0] * 3}
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
    assert "| vanilla int8, 1 thread | ≤ 0.55 | ≤ 0.35 | 0.50 | 0.50–0.50 | met | missed |" in text
    assert "| native int8 ×1 | 4.0 | 4.0 | 4.0 | 7,500 | 0.50 |" in text
    assert "Not measured: onnxruntime int8 ×1, torch float32 ×1 (not installed)." in text
    assert "one thread 2.0 ms in int8, 8.0 ms in float32" in text
    assert text.count("not measured | not measured") == len(REQUIREMENTS) - 1
