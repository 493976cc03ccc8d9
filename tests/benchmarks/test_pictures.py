"""Plots of BLEU against latency: names that can be read, and what they are of."""

import re
from itertools import combinations

import pytest

from hat.files import read_json
from plot_layout import NARROW, WIDTH, Box, Frame, headline_point, labels, run_points
from reports import newest

PLOTS = [(kind, None) for kind in ("demo", "multi30k", "multi30k-small")]
HEADLINE = [("headline", task) for task in ("en-de", "en-fr")]


@pytest.mark.parametrize(("kind", "task"), [*PLOTS, *HEADLINE])
def test_a_plot_says_what_it_shows(kind: str, task: str | None) -> None:
    folder = newest(kind)
    report = read_json(folder / "report.json")
    drawn = (folder / f"{task or 'pareto'}.svg").read_text("utf-8")
    texts = re.findall(r">([^<]+)</t(?:ext|span)>", drawn)
    shown = "\n".join(texts)
    assert "test_2016_flickr" in shown or "built-in grammar" in shown
    assert report["environment"]["cpu"] in shown
    assert "bars: " in shown
    models = report["tasks"][task]["models"] if task else report["models"]
    for row in models:
        if "bleu" in row:
            assert row["name"].removeprefix("transformer-").replace("-taught", ", taught") in texts
    if task:  # the best baseline, which the native engine does not run, in PyTorch's plot
        assert "ms a sentence: native engine, int8" in texts
        assert "ms a sentence: PyTorch, float32" in texts


@pytest.mark.parametrize(
    ("kind", "task", "column"),
    [
        *((kind, None, "") for kind, _ in PLOTS),
        *((kind, task, column) for kind, task in HEADLINE for column in ("native int8", "torch float32")),
    ],
)
def test_labels_overlap_neither_each_other_nor_points(kind: str, task: str | None, column: str) -> None:
    report = read_json(newest(kind) / "report.json")
    if task:
        rows = [
            row for row in report["tasks"][task]["models"] if "bleu" in row and column in row["latencies_ms"]
        ]
        points, width = [headline_point(row, column) for row in rows], NARROW
    else:
        points, width = run_points(report), WIDTH
    frame = Frame(points, width)
    boxes = labels(points, frame)
    assert len(points) > 2
    assert all(not one.overlap(other) for one, other in combinations(boxes, 2))
    assert all(frame.outside(box) == 0 for box in boxes)
    for box in boxes:
        for x, y in map(frame.place, points):
            assert not box.overlap(Box(x - 4, y - 4, x + 4, y + 4))
