"""Plots of BLEU against latency, from reports of runs and of the headline.

`python benchmarks/pictures.py` draws the plots of the newest results again from their stored JSON.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import yaml

from hat.files import read_json
from plot_layout import (
    EVOLVED,
    HEIGHT,
    KINDS,
    LETTER,
    NARROW,
    TAUGHT,
    WIDTH,
    Box,
    Frame,
    Point,
    headline_point,
    labels,
    run_points,
    spread,
)
from reports import RESULTS, newest

COLOURS = {
    "Transformer": "#4c78a8",
    "HAT": "#e45756",
    TAUGHT: "#b279a2",
    EVOLVED: "#54a24b",
    KINDS["inherited"]: "#9d9d9d",
}
BLEU_BARS = "vertical bars: 95 % of the BLEU difference from the best baseline"


def scatter(points: Sequence[Point], axis: str, width: int = WIDTH) -> alt.LayerChart:
    """One plot; each point has its name and its bars."""
    frame = Frame(points, width)
    rows = [
        {"model": one.name, "kind": one.kind, "ms": one.ms, "bleu": one.bleu}
        | dict(zip(("from", "to"), one.ms_range or (one.ms, one.ms), strict=True))
        | dict(zip(("low", "high"), one.bleu_range or (one.bleu, one.bleu), strict=True))
        for one in points
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("ms:Q", title=axis, scale=alt.Scale(domain=frame.x, nice=False)),
        y=alt.Y("bleu:Q", title="BLEU", scale=alt.Scale(domain=frame.y, nice=False)),
        color=alt.Color(
            "kind:N",
            title=None,
            scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())),
            legend=None,
        ),
    )
    bars = base.mark_rule(opacity=0.6)
    layers = [
        bars.encode(x="from:Q", x2="to:Q"),
        bars.encode(y="low:Q", y2="high:Q"),
        base.mark_point(filled=True, size=80, opacity=1),
        *map(_label, points, labels(points, frame), [frame] * len(points)),
    ]
    return alt.layer(*layers).properties(width=width, height=HEIGHT)


def _label(point: Point, box: Box, frame: Frame) -> alt.Chart:
    x, y = frame.place(point)
    row = {"model": point.name, "ms": point.ms, "bleu": point.bleu}
    mark = alt.Chart(alt.Data(values=[row])).mark_text(
        align="left", baseline="middle", dx=box.left - x, dy=(box.top + box.bottom) / 2 - y, fontSize=11
    )
    return mark.encode(x="ms:Q", y="bleu:Q", text="model:N")


def _legend(points: Sequence[Point], width: int) -> alt.Chart:
    """The plots' kinds of models, in a row below; a plot of its own, so that two plots share it."""
    kinds = [kind for kind in COLOURS if kind in {point.kind for point in points}]
    starts, at = [], 0.0
    for kind in kinds:
        starts.append(at)
        at += len(kind) * LETTER + 34
    rows = [{"kind": kind, "at": start} for kind, start in zip(kinds, starts, strict=True)]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("at:Q", axis=None, scale=alt.Scale(domain=(-10, max(width, at)), nice=False)),
        color=alt.Color(
            "kind:N", scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())), legend=None
        ),
    )
    text = base.mark_text(align="left", dx=9).encode(text="kind:N", color=alt.value("black"))
    return (base.mark_point(filled=True, size=80, opacity=1) + text).properties(
        width=max(width, round(at)), height=16
    )


def save(
    plots: Sequence[alt.LayerChart], points: Sequence[Point], title: str, lines: Sequence[str], path: Path
) -> None:
    """Write plots side by side, below a title and lines that explain them."""
    width = sum(plot.width for plot in plots) + 70 * (len(plots) - 1)
    together = alt.hconcat(*plots, spacing=24)
    heading = alt.TitleParams(title, subtitle=list(lines), anchor="start", subtitleColor="#555555")
    chart = alt.vconcat(together, _legend(points, width), title=heading)
    chart.configure_view(strokeWidth=0).configure_concat(spacing=8).save(path)


def run_picture(report: Mapping[str, Any], recipe: Mapping[str, Any], path: Path) -> None:
    """A run's models: latency with its interquartile range, and BLEU with its interval if that is known."""
    points = run_points(report)
    unknown = "BLEU without an interval: one training each, and none was kept with these results"
    lines = [
        conditions(report),
        f"horizontal bars: {spread(report['models'][0])[1].removeprefix('half its ')} of the latency",
        BLEU_BARS if any(point.bleu_range for point in points) else unknown,
    ]
    plot = scatter(points, "latency, ms a sentence")
    save([plot], points, f"{report['run']}: {corpus(recipe)}", lines, path)


def headline_picture(report: Mapping[str, Any], task: str, path: Path) -> None:
    """A task's trained models in two engines; the best baseline runs in only one of them."""
    rows = [row for row in report["tasks"][task]["models"] if "bleu" in row]
    plots = []
    every: list[Point] = []
    for column, axis in (("native int8", "native engine, int8"), ("torch float32", "PyTorch, float32")):
        points = [headline_point(row, column) for row in rows if column in row["latencies_ms"]]
        every += points
        plots.append(scatter(points, f"ms a sentence: {axis}", NARROW))
    absent = [row for row in rows if "native int8" not in row["latencies_ms"]]
    languages = "→".join(code.capitalize() for code in task.split("-"))
    lines = [conditions(report | {"protocol": report["tasks"][task]["protocol"]}, engine=False), BLEU_BARS]
    lines += [
        f"left without {row['name']} ({row['bleu']:.1f} BLEU), which the native engine does not run: "
        f"{row['latencies_ms']['onnxruntime int8']:.0f} ms in onnxruntime, int8"
        for row in absent
    ]
    save(plots, every, f"Multi30k {languages}, test_2016_flickr", lines, path)


def conditions(report: Mapping[str, Any], *, engine: bool = True) -> str:
    """Machine and protocol in one line."""
    environment, protocol = report["environment"], report["protocol"]
    threads = f"{protocol['threads']} thread{'s' * (protocol['threads'] != 1)}"
    how = f", {protocol['engine']} engine, {protocol['precision']}" if engine else ""
    return f"{environment['cpu']}, {threads}{how}, beam {protocol['beam']}"


def corpus(recipe: Mapping[str, Any]) -> str:
    """The text that a recipe computes BLEU on."""
    data = recipe["data"]
    languages = f"{data.get('source_language', 'en')}→{data.get('target_language', 'de')}"
    if data.get("corpus") == "builtin":
        return f"built-in grammar {languages}, {data['builtin']['test']} test sentences"
    test = data.get("test") or {}
    name = test.get("source") or test.get("tsv") or "published test set"
    return f"{Path(name).name.split('.')[0]} {languages}"


def remake(kinds: Iterable[str] = ("demo", "multi30k", "multi30k-small")) -> list[Path]:
    """Draw the plots of the newest results again; their paths."""
    made = []
    for kind in kinds:
        folder = newest(kind)
        recipe = yaml.safe_load((folder / "recipe.yaml").read_text("utf-8"))
        run_picture(read_json(folder / "report.json"), recipe, folder / "pareto.svg")
        made.append(folder / "pareto.svg")
    folder = newest("headline")
    report = read_json(folder / "report.json")
    for task in report["tasks"]:
        headline_picture(report, task, folder / f"{task}.svg")
        made.append(folder / f"{task}.svg")
    return made


if __name__ == "__main__":
    for path in remake():
        print(path.relative_to(RESULTS.parent))
