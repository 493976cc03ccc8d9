"""The times that `engines.py` measured, compared with the requirements: figures and Markdown.

python benchmarks/engine_report.py FOLDER     # judges the times in FOLDER/report.json again
"""

import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from hat.files import read_json, write_json, write_text
from hat.hardware import Verdict, verdict
from hat.intervals import median_interval
from reports import table

NEAR = 1.1  # times the floor still count as the floor
PEER = ("ctranslate2 int8 ×1", "ctranslate2 int8 ×2")
FLOAT_PEER = ("ctranslate2 float32 ×1",)


@dataclass(frozen=True)
class Requirement:
    """Our contender's time (or, with `speed`, tokens per second) as a share of the peer's.

    `theirs`: the one of the lowest median is compared with. Of times the ratio is at most `must`
    and at best `aim`; of speeds at least. `floor`: a precision whose aim is the time it takes to read
    the weights.
    """

    section: str
    name: str
    ours: str
    theirs: tuple[str, ...]
    must: float
    aim: float | None = None
    speed: bool = False
    floor: str | None = None


REQUIREMENTS = (
    Requirement("vanilla", "vanilla int8, 1 thread", "native int8 ×1", PEER, 0.55, 0.35),
    Requirement("vanilla", "vanilla int8, 2 threads", "native int8 ×2", PEER, 0.35, 0.20),
    Requirement("hat", "hat int8, 1 thread", "native int8 ×1", PEER, 0.45, 0.30),
    Requirement("hat", "hat int8, 2 threads", "native int8 ×2", PEER, 0.28, 0.16),
    Requirement(
        "vanilla", "vanilla float32, 1 thread", "native float32 ×1", FLOAT_PEER, 0.55, floor="float32"
    ),
    Requirement("hat", "hat float32, 1 thread", "native float32 ×1", FLOAT_PEER, 0.40, floor="float32"),
    *(
        Requirement(
            f"batch-beam{beam}",
            f"hat int8, batch 64, beam {beam}, tokens per second",
            "native int8 ×2",
            ("ctranslate2 int8 2 × 1",),
            *bounds,
            speed=True,
        )
        for beam, bounds in ((1, (0.9, 1.3)), (5, (1.3, 2.0)))
    ),
    Requirement("heterogeneous", "heterogeneous int8, 1 thread", "native int8 ×1", PEER[:1], 0.55, 0.40),
    Requirement("hat", "hat int8 in onnxruntime, 1 thread", "onnxruntime int8 ×1", PEER, 0.65),
)


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """The median of the ratios of paired times, with its 95% interval (from order statistics; unbounded for
    fewer than six pairs)."""
    ratios = np.array(ours) / np.array(theirs)
    return float(np.median(ratios)), *median_interval(ratios)


def fastest(names: Sequence[str], times_ms: Mapping[str, Sequence[float]]) -> str | None:
    """The contender of the lowest median; None where none was measured."""
    measured = [name for name in names if name in times_ms]
    return min(measured, key=lambda name: statistics.median(times_ms[name]), default=None)


def judge(requirement: Requirement, sections: Mapping[str, Any]) -> dict[str, Any]:
    """Verdicts on a requirement's must and aim, with ratio and interval, as JSON data."""
    section = sections.get(requirement.section, {})
    times = section.get("times_ms", {})
    peer, aim = fastest(requirement.theirs, times), requirement.aim
    found: dict[str, Any] = {"name": requirement.name, "must": requirement.must, "aim": aim}
    if peer is None or requirement.ours not in times:
        return found | {"verdict": "not measured", "aim_verdict": "not measured"}
    if requirement.floor:
        aim = NEAR * section["floor_ms"][requirement.floor] / statistics.median(times[peer])
    pair = (times[requirement.ours], times[peer])
    ratio, low, high = paired_ratio(*(reversed(pair) if requirement.speed else pair))
    verdicts = {
        key: "–" if bound is None else _verdict((ratio, low, high), bound, requirement.speed)
        for key, bound in (("verdict", requirement.must), ("aim_verdict", aim))
    }
    return found | {"aim": aim, "against": peer, "ratio": ratio, **json_bounds(low, high), **verdicts}


def json_bounds(low: float, high: float) -> dict[str, float | None]:
    """An interval for JSON, which has no infinity, the bound of an interval of too few runs."""
    return {name: end if isfinite(end) else None for name, end in (("low", low), ("high", high))}


def _verdict(ratio: tuple[float, float, float], bound: float, speed: bool) -> Verdict:
    """Met if the whole interval meets the bound; a speed has to be above it."""
    figure, low, high = ratio
    return verdict(-figure, -low, -bound) if speed else verdict(figure, high, bound)


def markdown(report: Mapping[str, Any]) -> str:
    """The report as people read it."""
    machine = report["environment"]
    lines = [
        f"# Engines, {report['date']}",
        "",
        f"{machine['cpu']} ({', '.join(machine['flags'])}), {machine['cores_allowed']} cores, load "
        f"{machine['load_average']:.1f} at the start. Native engine: {report['instruction_set']}. "
        f"CTranslate2 {report['ctranslate2']}, onnxruntime {machine['onnxruntime']}, "
        f"PyTorch {machine['torch']}. One thread reads {report['read_gb_per_s']:.1f} GB/s.",
        "",
        "Random weights, all contenders in turn on a new random source every run. Ratios are medians of "
        "paired runs with their 95% interval, which has to meet the requirement as a whole; the peer is "
        f"the faster of CTranslate2's settings. The aim in float32 is {NEAR} times what it takes to read "
        "the weights.",
        "",
        table(
            ["", "must", "aim", "ratio", "95%", "must is", "aim is"],
            [_requirement_row(requirement, report["sections"]) for requirement in REQUIREMENTS],
            "---",
        ),
    ]
    for name, section in report["sections"].items():
        lines += _section(name, section)
    return "\n".join(lines) + "\n"


def _requirement_row(requirement: Requirement, sections: Mapping[str, Any]) -> list[str]:
    found = judge(requirement, sections)
    sign = "≥" if requirement.speed else "≤"
    aim = "" if found["aim"] is None else f"{sign} {found['aim']:.2f}"
    measured = ("", "")
    if "ratio" in found:
        known = found["low"] is not None
        interval = f"{found['low']:.2f}–{found['high']:.2f}" if known else "unknown"
        measured = (f"{found['ratio']:.2f}", interval)
    must = f"{sign} {found['must']:.2f}"
    return [requirement.name, must, aim, *measured, found["verdict"], found["aim_verdict"]]


def _section(name: str, section: Mapping[str, Any]) -> list[str]:
    times, protocol = section["times_ms"], section["protocol"]
    peer = fastest([name for name in times if name.startswith("ctranslate2 int8")], times)
    tokens = protocol["batch"] * protocol["target_lengths"][0]
    lines = [
        "",
        f"## {name}",
        "",
        f"{section['model']}. Source {protocol['source_lengths'][0]}, {protocol['target_lengths'][0]} steps, "
        f"beam {protocol['beam']}, {protocol['batch']} sentences, {protocol['rounds']} runs.",
        "",
    ]
    rows = []
    for contender, taken in times.items():
        p10, median, p90 = np.percentile(taken, [10, 50, 90])
        share = "" if peer is None else f"{paired_ratio(taken, times[peer])[0]:.2f}"
        speed = f"{1000 * tokens / median:,.0f}"
        rows.append([contender, f"{median:.1f}", f"{p10:.1f}", f"{p90:.1f}", speed, share])
    lines.append(table(["contender", "median ms", "p10", "p90", "tokens/s", f"share of {peer}"], rows, "---"))
    if protocol["batch"] == 1:  # a batch is not bound by reading weights
        floors = (f"{floor:.1f} ms in {precision}" for precision, floor in section["floor_ms"].items())
        lines += ["", f"Reading the weights of every step takes one thread {', '.join(floors)}."]
    for reason in dict.fromkeys(section["absent"].values()):
        names = [name for name, other in section["absent"].items() if other == reason]
        lines += ["", f"Not measured: {', '.join(names)} ({reason})."]
    return lines


def save(report: dict[str, Any], folder: Path) -> None:
    """Judge the times and write both files."""
    report["requirements"] = [judge(requirement, report["sections"]) for requirement in REQUIREMENTS]
    write_json(folder / "report.json", report)
    write_text(folder / "report.md", markdown(report))


if __name__ == "__main__":
    for name in sys.argv[1:]:
        save(read_json(Path(name) / "report.json"), Path(name))
