"""The verdicts of the benchmark beside busy processes, and its contenders at work."""

import pytest

from contention import STATES, Contender, Target, Worker, contenders, judge, markdown, targets

RATES = {
    "a": {"idle": [100.0] * 9, "busy": [59.0, *[61.0, 62.0] * 3, 65.0, 70.0]},
    "b": {"idle": [200.0] * 9, "busy": [70.0, *[63.0, 75.0] * 3, 66.0, 76.0]},
}


@pytest.mark.parametrize(
    ("ours", "theirs", "least", "verdict"),
    [
        (("a", "busy"), ("a", "idle"), 0.6, "met"),
        (("b", "busy"), ("b", "idle"), 0.6, "not met"),
        (("b", "busy"), ("a", "busy"), 1.0, "met"),
        (("a", "idle"), ("b", "idle"), 0.97, "not met"),
        (("a", "busy"), ("a", "idle"), 0.615, "not shown"),
    ],
)
def test_a_target_is_judged_by_paired_rounds(
    ours: tuple[str, str], theirs: tuple[str, str], least: float, verdict: str
) -> None:
    found = judge(Target("it", ours, theirs, least), RATES)
    assert found["verdict"] == verdict
    assert found["low"] <= found["ratio"] <= found["high"]


@pytest.mark.parametrize("most", [1, 2, 64])
def test_every_target_is_about_contenders(most: int) -> None:
    names = {one.name for one in contenders(most)}
    for target in targets(most):
        assert {target.ours[0], target.theirs[0]} <= names
        assert {target.ours[1], target.theirs[1]} <= set(STATES)


def test_the_report_shows_targets_and_speeds() -> None:
    report = {
        "date": "2026-11-28",
        "environment": {
            "cpu": "Z80",
            "flags": [],
            "cores_allowed": 2,
            "load_average": 0.1,
            "torch": "2",
            "onnxruntime": "1",
        },
        "busy_processes": 1,
        "threads": {name: dict.fromkeys(STATES, 2) for name in RATES},
        "tokens_per_second": RATES,
        "targets": [judge(Target("a: busy, of idle", ("a", "busy"), ("a", "idle"), 0.6), RATES)],
    }
    text = markdown(report)
    assert "| a: busy, of idle | 0.60 | 0.62 | 0.61–0.65 | met |" in text
    assert "| b | 2 | 2 | 200 | 70 | 0.35 |" in text


@pytest.mark.parametrize("kind", ["training", "evaluation", "native"])
def test_a_contender_works(kind: str) -> None:
    worker = Worker(Contender(kind, kind, "1" if kind == "native" else "all"))
    try:
        found = worker.work("idle", 0.01)
    finally:
        worker.close()
    assert found["tokens"] > 0
    assert found["seconds"] > 0
