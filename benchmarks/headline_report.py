"""The tables of `headline.py`: aims and results, with the cells that fall short."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reports import table

Row = Mapping[str, Any]

# The paper's search of the Evolved Transformer, in GPU hours (secondary source), and its ratios.
EVOLVED_SEARCH_HOURS = 2_192_000
PUBLISHED_FASTER, PUBLISHED_SMALLER, PUBLISHED_SEARCH = 2.7, 3.6, 12_041
# The two counts of parameters: all that a device stores, and the paper's.
COUNTED = {
    "embeddings included": "parameters_with_embeddings",
    "without embeddings, as published": "parameters",
}
KINDS = {
    "baseline": "baseline",
    "found": "found",
    "inherited": "inherited weights",
    "untrained": "baseline, not trained",
}


def best_baseline(rows: Iterable[Row]) -> Row | None:
    """The trained one with the most BLEU."""
    return max((row for row in rows if row["kind"] == "baseline"), key=lambda row: row["bleu"], default=None)


def markdown(report: Mapping[str, Any]) -> str:
    """The whole report."""
    machine, wanted = report["environment"], report["wanted"]
    missing = [task for task in wanted["tasks"] if task not in report["tasks"]]
    parts = [
        f"# The headline, {report['date']}",
        f"{machine['cpu']}, {machine['cores_allowed']} cores; setting {report['setting']}. Latencies in ms a "
        "sentence, one thread, beam as in the recipe, all models of a column in the same rounds. BLEU is "
        "sacreBLEU of the int8 model in the native engine (of the Evolved Transformer: in its own), with the "
        "length penalty that is best on the validation text, for each model. GFLOPs are of 30 tokens on both "
        "sides, counted as published. At 4 bits embeddings have 8, but for the latencies (4); nothing is "
        "fine-tuned.",
    ]
    if missing:
        parts.append(f"**Not run yet:** {', '.join(missing)}.")
    for name, task in report["tasks"].items():
        parts += [
            f"## {name}",
            f"![BLEU against latency]({name}.svg)",
            _models(task["models"]),
            _claims(task),
            _search(task["search_hours"]),
        ]
        if any("teacher" in row for row in task["models"]):
            parts.append(
                "A taught model learned from its teacher's translations of the training text beside the "
                "references. No baseline was taught, and the teacher's training is not in the search cost."
            )
        if untrained := [row["name"] for row in task["models"] if row["kind"] == "untrained"]:
            parts.append(
                "**The best baseline is the best of those that are trained.** What is said of BLEU is weak "
                f"until {', '.join(untrained)} are; latencies and sizes need no training."
            )
    return "\n\n".join(parts) + "\n"


def _models(rows: Sequence[Row]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row["latencies_ms"]))
    head = ["model", "", "BLEU", "− best baseline (95 %)", *columns]
    head += ["parameters", "without emb.", "GFLOPs", "MB float32", "MB deployed", "MB 4 bits", "BLEU 4 bits"]
    return table(head, [_model(row, columns) for row in rows])


def _model(row: Row, columns: Sequence[str]) -> list[str]:
    against, small = row.get("against_best"), row.get("four_bits")
    return [
        row["name"],
        KINDS[row["kind"]] + (f", taught by {row['teacher']}" if "teacher" in row else ""),
        f"{row['bleu']:.1f}" if "bleu" in row else "–",
        "–" if not against else f"{against['bleu']:+.1f} ({against['low']:+.1f} … {against['high']:+.1f})",
        *(f"{row['latencies_ms'][name]:.2f}" if name in row["latencies_ms"] else "–" for name in columns),
        f"{row['parameters_with_embeddings'] / 1e6:.2f}M",
        f"{row['parameters'] / 1e6:.2f}M",
        f"{row['flops'] / 1e9:.3f}",
        f"{row['float32_bytes'] / 1e6:.1f}",
        f"{row['artefact_bytes'] / 1e6:.1f}" if "artefact_bytes" in row else "–",
        "–" if not small else f"{small['bytes'] / 1e6:.2f}",
        "–" if not small else f"{small['bleu']:.1f} ({small['bleu'] - small['float32_bleu']:+.1f})",
    ]


def _claims(task: Mapping[str, Any]) -> str:
    """The claims of the found models against each rival."""
    found = [row for row in task["models"] if row["kind"] == "found"]
    best = best_baseline(task["models"])
    if not found or best is None:
        return "No baseline is trained yet: nothing to compare with."
    columns = [_claims_of(ours, best, task["models"]) for ours in found]
    rows = [[*claims[0][:2], *(here for _, _, here in claims)] for claims in zip(*columns, strict=True)]
    return table(["claim", "aim", *(ours["name"] for ours in found)], rows)


def _claims_of(ours: Row, best: Row, models: Sequence[Row]) -> list[tuple[str, str, str]]:
    """Claim, aim and result for one found model."""
    rivals = [row for row in models if row["kind"] in ("baseline", "untrained")]
    transformers = [row for row in rivals if "native int8" in row["latencies_ms"]]
    evolved = [row for row in rivals if "native int8" not in row["latencies_ms"]]
    against, small = ours["against_best"], ours["four_bits"]
    rows = [
        _claim(f"BLEU − that of {best['name']}", against["bleu"], -0.3, "{:+.1f}"),
        _claim("lower 95 % bound of that", against["low"], -1.0, "{:+.1f}"),
    ]
    if transformers:
        largest = max(transformers, key=lambda row: row["parameters"])
        whole = largest["float32_bytes"]
        rows += [
            _claim(f"faster than {largest['name']}, native int8", _times(largest, ours, "native int8"), 5.0),
            *(
                _claim(f"fewer parameters than {largest['name']}, {count}", largest[key] / ours[key], 8.0)
                for count, key in COUNTED.items()
            ),
            _claim("4 bits on the disk, smaller than its float32", whole / small["bytes"], 50.0),
        ]
    rows.append(
        _claim("BLEU lost at 4 bits", small["float32_bleu"] - small["bleu"], 0.5, "{:.2f}", most=True)
    )
    for rival in evolved:
        times = _times(rival, ours, "torch float32")
        rows += [
            _claim(f"faster than {rival['name']}, PyTorch", times, PUBLISHED_FASTER),
            *(
                _claim(f"smaller than {rival['name']}, {count}", rival[key] / ours[key], PUBLISHED_SMALLER)
                for count, key in COUNTED.items()
            ),
        ]
    return rows


def _claim(
    claim: str, value: float, aim: float, form: str = "{:.2f}×", *, most: bool = False
) -> tuple[str, str, str]:
    met = value <= aim if most else value >= aim
    bound = "≤" if most else "≥"
    here = form.format(value)
    return claim, f"{bound} {form.format(aim)}", here if met else f"**{here}** falls short"


def _times(rival: Row, ours: Row, column: str) -> float:
    return float(rival["latencies_ms"][column] / ours["latencies_ms"][column])


def _search(hours: Mapping[str, float]) -> str:
    total = sum(hours.values())
    rows = [[name, f"{spent:.3f}"] for name, spent in hours.items()] + [["all of it", f"{total:.3f}"]]
    note = (
        "Search cost in hours of processor cores, or of the GPU where there is one. The Evolved "
        f"Transformer's search took {EVOLVED_SEARCH_HOURS:,} GPU hours (published, on another task): "
        f"{EVOLVED_SEARCH_HOURS / total:,.0f} times as many hours; the paper's own ratio is "
        f"{PUBLISHED_SEARCH:,}."
    )
    return table(["step", "hours"], rows) + "\n\n" + note
