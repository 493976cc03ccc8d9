"""Positions of points and their names in a plot of BLEU against latency, from the JSON of a report."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

Row = Mapping[str, Any]
KINDS = {"baseline": "Transformer", "found": "HAT", "inherited": "SuperTransformer's ends, inherited weights"}
EVOLVED, TAUGHT = "Evolved Transformer", "HAT, taught"
WIDTH, HEIGHT, NARROW = 620, 340, 460
# Size of a label's letters, in pixels.
LETTER, LINE = 6.0, 13.0
# Margins as a share of the points' range, on each side; the horizontal one has room for labels.
MARGINS = {"x": 0.3, "y": 0.12}
GAPS = (7.0, 14.0, 24.0, 36.0, 50.0, 66.0)


@dataclass(frozen=True)
class Point:
    """A model: latency in ms with its quartiles or interval, BLEU with its interval; None where unknown."""

    name: str
    kind: str
    ms: float
    bleu: float
    ms_range: tuple[float, float] | None = None
    bleu_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class Box:
    """The rectangle of a label, in pixels from the upper left corner."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: "Box") -> float:
        """The common area, in square pixels."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(width, 0.0) * max(height, 0.0)


class Frame:
    """A plot's size and the ranges of its axes; converts quantities to pixels."""

    def __init__(self, points: Sequence[Point], width: int, height: int = HEIGHT) -> None:
        self.width, self.height = width, height
        times = [edge for point in points for edge in (point.ms_range or (point.ms,))]
        scores = [edge for point in points for edge in (point.bleu_range or (point.bleu,))]
        self.x, self.y = _domain(times, MARGINS["x"]), _domain(scores, MARGINS["y"])

    def place(self, point: Point) -> tuple[float, float]:
        """The position of a point, in pixels."""
        across = (point.ms - self.x[0]) / (self.x[1] - self.x[0])
        up = (point.bleu - self.y[0]) / (self.y[1] - self.y[0])
        return across * self.width, (1 - up) * self.height

    def bars(self, point: Point) -> list[Box]:
        """The rectangles of a point's bars."""
        (x, y), boxes = self.place(point), []
        if point.ms_range:
            left, right = (self.place(replace(point, ms=ms))[0] for ms in point.ms_range)
            boxes.append(Box(left, y - 1, right, y + 1))
        if point.bleu_range:
            low, high = (self.place(replace(point, bleu=bleu))[1] for bleu in point.bleu_range)
            boxes.append(Box(x - 1, high, x + 1, low))
        return boxes

    def outside(self, box: Box) -> float:
        """The number of pixels by which a box sticks out of the plot."""
        beyond = (-box.left, -box.top, box.right - self.width, box.bottom - self.height)
        return sum(max(0.0, pixels) for pixels in beyond)


def labels(points: Sequence[Point], frame: Frame) -> list[Box]:
    """A place beside each point for its name, without overlaps as far as such places are found."""
    centres = [frame.place(point) for point in points]
    marks = [Box(x - 6, y - 6, x + 6, y + 6) for x, y in centres]
    bars = [bar for point in points for bar in frame.bars(point)]
    choices = [
        list(_around(centre, len(point.name) * LETTER)) for centre, point in zip(centres, points, strict=True)
    ]
    chosen = [one[0] for one in choices]
    for _ in range(8):  # each label in turn moves to its best place among the others, until none moves
        before = list(chosen)
        for index, boxes in enumerate(choices):
            others = [box for at, box in enumerate(chosen) if at != index]
            costs = [
                100 * frame.outside(box)
                + 10 * sum(map(box.overlap, others))
                + 3 * sum(map(box.overlap, marks))
                + 0.5 * sum(map(box.overlap, bars))
                + rank
                for rank, box in enumerate(boxes)
            ]
            chosen[index] = boxes[costs.index(min(costs))]
        if chosen == before:
            break
    return chosen


def _around(centre: tuple[float, float], width: float) -> Iterable[Box]:
    """Places for a label of this width, nearest first: right, left, above, below."""
    x, y = centre
    for gap, (across, down) in product(
        GAPS, ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1))
    ):
        left = x + across * gap + (0 if across > 0 else -width if across < 0 else -width / 2)
        top = y + down * gap - (LINE / 2 if not down else LINE if down < 0 else 0)
        yield Box(left, top, left + width, top + LINE)


def _domain(values: Sequence[float], margin: float) -> tuple[float, float]:
    """The range of the values with a margin, not below 0."""
    room = margin * ((max(values) - min(values)) or 1)
    return max(0.0, min(values) - room), max(values) + room


def run_points(report: Mapping[str, Any]) -> list[Point]:
    """A run's models."""
    return [
        Point(
            _short(row), KINDS[row["kind"]], row["latency_ms"], row["bleu"], ms_range(row), _bleu_range(row)
        )
        for row in report["models"]
    ]


def headline_point(row: Row, column: str) -> Point:
    kind = KINDS[row["kind"]]
    if "native int8" not in row["latencies_ms"]:
        kind = EVOLVED
    elif "teacher" in row:
        kind = TAUGHT
    interval = row.get("intervals_ms", {}).get(column)
    return Point(_short(row), kind, row["latencies_ms"][column], row["bleu"], interval, _bleu_range(row))


def _short(row: Row) -> str:
    """The name on a label; colours already set Transformers apart from other models."""
    return str(row["name"]).removeprefix("transformer-").replace("-taught", ", taught")


def spread(row: Row) -> tuple[float, str]:
    """A latency's spread in ms, to be printed after ±, and its meaning; handles the reports of all
    versions."""
    if "latency_low_ms" in row:
        return (row["latency_high_ms"] - row["latency_low_ms"]) / 2, "half its 95 % interval"
    return row["latency_iqr_ms"], "interquartile range"


def ms_range(row: Row) -> tuple[float, float]:
    """The ends of a latency's bar: those of its interval, or its interquartile range around the median."""
    if "latency_low_ms" in row:
        return row["latency_low_ms"], row["latency_high_ms"]
    half = row["latency_iqr_ms"] / 2
    return row["latency_ms"] - half, row["latency_ms"] + half


def _bleu_range(row: Row) -> tuple[float, float] | None:
    """The interval of the difference from the best baseline, shifted to the model's own BLEU."""
    against = row.get("against_best")
    if not against:
        return None
    return row["bleu"] + against["low"] - against["bleu"], row["bleu"] + against["high"] - against["bleu"]
