"""The tables of results in the README and the pages of docs/ (see figures.py)."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from architectures import VANILLA, transformer
from engine_report import REQUIREMENTS, judge, paired_ratio
from hat.architecture import AnyArchitecture, EvolvedArchitecture, cost
from hat.files import read_json
from hat.report import slowest_model
from outer_choices import markdown as outer_choice_tables
from plot_layout import spread
from reports import all_of, newest, table
from time_shares import markdown as shares_of_parts
from wmt_scaling import wmt_scaling

Row = Mapping[str, Any]
# Row of the engines' report → its description.
ENGINES = {
    "vanilla int8, 1 thread": "Transformer-base, int8, 1 thread",
    "vanilla int8, 2 threads": "Transformer-base, int8, 2 threads",
    "hat int8, 1 thread": "6+1 layers with a wide decoder, int8, 1 thread",
    "hat int8, 2 threads": "6+1 layers with a wide decoder, int8, 2 threads",
    "vanilla float32, 1 thread": "Transformer-base, float32, 1 thread",
    "hat float32, 1 thread": "6+1 layers with a wide decoder, float32, 1 thread",
    "heterogeneous int8, 1 thread": "mixed heads, attention to 3 and 2 layers, int8, 1 thread "
    "(CTranslate2: the model cut down to what it can express)",
    "hat int8 in onnxruntime, 1 thread": "6+1 layers, int8, 1 thread, our ONNX export in onnxruntime",
    "hat int8, batch 64, beam 1, tokens per second": "**tokens a second**, 6+1 layers, batches of 64, "
    "int8, 2 threads, beam 1",
    "hat int8, batch 64, beam 5, tokens per second": "**tokens a second**, the same with beam 5",
}
# Models of the headline → their description. Times are shares of the first one's.
COMPETITORS = {
    "hat-60pct": "**found by HAT** under 60 % of the largest network's time",
    "hat-60pct-taught": "**found by HAT**, and taught by the Evolved Transformer below",
    "transformer-6+1-128": "Transformer, 6+1 layers, 128 wide (made by hand)",
    "transformer-6+1-256": "Transformer, 6+1 layers, 256 wide (made by hand)",
    "evolved-transformer-128": "Evolved Transformer, 128 wide (times in PyTorch)",
    "transformer-6+6-512": "Transformer-base, 6+6 layers, 512 wide (not trained on this text)",
}
# Contenders of the engines' benchmark → their description. Times are shares of the native engine's.
ENGINE_COMPETITORS = {
    "ctranslate2 int8 ×1": "CTranslate2 in place of HAT's engine (6+1 layers, 512 wide, int8)",
    "onnxruntime int8 ×1": "onnxruntime in place of HAT's engine (the same network, int8)",
    "torch float32 ×1": "PyTorch in place of HAT's engine (the same network, float32)",
}
SPEED_MODELS = {
    "vanilla": "6 + 6 layers, 512, vocabulary 32,768",
    "hat": "6 + 1 layers, 512, vocabulary 32,768",
    "small": "4 + 1 layers, 128, vocabulary 4,000: all in the second-level cache",
}
QUALITY_ORDER = ("float32", "int8", "8 bits", "4 bits", "3 bits", "2 bits")
WEIGHTS = (0.9, 0.5)
# As published by HAT's authors: parameters in millions, GFLOPs.
PUBLISHED = {
    "Transformer-base": None,
    "Transformer-Big": (176, 10.6),
    "Evolved Transformer, En-De, d = 512": (47, 2.9),
    "Evolved Transformer, En-Fr, d = 1024": (175, 10.8),
}


def demo() -> str:
    """The models of the demo."""
    folder = newest("demo")
    report = read_json(folder / "report.json")
    slowest = slowest_model(report["models"])
    rows = [_demo_row(row, slowest, report["default"]) for row in report["models"]]
    head = ["model", "latency ms", "parameters", "artefact MB", "BLEU", "speed-up", "compression"]
    notes = (
        "*: the model that translates by default; it was fine-tuned from the SuperTransformer's weights, the "
        f"Transformers were trained from scratch. Latency: median ± {spread(slowest)[1]}. Speed-up and "
        f"compression: against {slowest['name']}. Measured on {report['environment']['cpu']}, in the native "
        f"engine at int8. [Report]({_where(folder)}/report.md), [plot]({_where(folder)}/pareto.svg)."
    )
    return f"{table(head, rows)}\n\n{notes}"


def _demo_row(row: Row, slowest: Row, default: str) -> list[str]:
    inherited = " (inherited weights)" if row["kind"] == "inherited" else ""
    return [
        row["name"] + ("*" if row["name"] == default else "") + inherited,
        f"{row['latency_ms']:.2f} ± {spread(row)[0]:.2f}",
        f"{row['parameters_with_embeddings'] / 1e6:.2f}M",
        f"{row['artefact_bytes'] / 1e6:.1f}",
        f"{row['bleu']:.1f}",
        f"{slowest['latency_ms'] / row['latency_ms']:.2f}×",
        f"{slowest['artefact_bytes'] / row['artefact_bytes']:.2f}×",
    ]


def example() -> str:
    """Python code that translates a sentence of the demo's grammar, and the translation by the demo's
    model."""
    samples = read_json(newest("demo") / "report.json")["samples"]
    chosen = next(sample for sample in samples if sample["translation"] == sample["reference"])
    return f"""```python
from hat import Translator

with Translator.load("runs/demo") as translator:
    print(translator.translate(["{chosen["source"]}"])[0])
```

prints “{chosen["translation"]}”"""


def engines() -> str:
    """The native engine compared with CTranslate2, one column for each machine."""
    machines = _machines()
    columns = (f"{cpu} ([report](../{_where(folder)}/report.md))" for cpu, (folder, _) in machines.items())
    rows = [
        [ENGINES[one.name], *(_ratio(judge(one, report["sections"])) for _, report in machines.values())]
        for one in REQUIREMENTS
    ]
    return table(["", *columns], rows)


def _machines() -> dict[str, tuple[Path, Row]]:
    """The newest results of the engines on each machine, by its processor."""
    reports = ((folder, read_json(folder / "report.json")) for folder in all_of("engines"))
    return {report["environment"]["cpu"]: (folder, report) for folder, report in reports}


def _ratio(judged: Row) -> str:
    return f"{judged['ratio']:.2f} ({judged['low']:.2f}–{judged['high']:.2f})" if "ratio" in judged else "–"


def _where(folder: Path) -> str:
    return f"benchmarks/results/{folder.name}"


def competitors() -> str:
    """The networks and engines that a user could take in place of a found model and the native engine."""
    headline_report = read_json(newest("headline") / "report.json")
    german, french = (
        {row["name"]: row for row in headline_report["tasks"][task]["models"]} for task in ("en-de", "en-fr")
    )
    found = german["hat-60pct"]
    rows = []
    for name, description in COMPETITORS.items():
        row = german[name]
        column = "native int8" if "native int8" in row["latencies_ms"] else "torch float32"
        ratio = row["latencies_ms"][column] / found["latencies_ms"][column]
        bleu = (
            f"{models[name]['bleu']:.1f}" if "bleu" in models[name] else "–" for models in (german, french)
        )
        rows.append([description, *bleu, f"{ratio:.1f}", f"{row['parameters_with_embeddings'] / 1e6:.1f}M"])
    _, engines_there = _machines()[headline_report["environment"]["cpu"]]
    times = engines_there["sections"]["hat"]["times_ms"]
    for contender, description in ENGINE_COMPETITORS.items():
        ratio, *_ = paired_ratio(times[contender], times["native int8 ×1"])
        rows.append([description, "–", "–", f"{ratio:.1f}", "–"])
    return table(["", "BLEU, En→De", "BLEU, En→Fr", "time, HAT's = 1", "parameters"], rows)


def headline(task: str) -> str:
    """All models of a task: BLEU, latency and size."""
    rows = read_json(newest("headline") / "report.json")["tasks"][task]["models"]
    kept = [row for row in rows if row["kind"] != "untrained" or row["name"].endswith("6+6-512")]
    head = ["model", "BLEU", "against the best baseline (95 %)", "ms, native int8", "ms, PyTorch"]
    return table([*head, "parameters", "MB, int8"], [_headline_row(row) for row in kept])


def _headline_row(row: Row) -> list[str]:
    notes = {"untrained": " (Transformer-base; not trained)", "inherited": " (inherited weights)"}
    taught = f" (taught by {row['teacher']})" if "teacher" in row else ""
    against = row.get("against_best")
    best = against is not None and against["low"] == against["high"] == 0
    difference = (
        f"{against['bleu']:+.1f} ({against['low']:+.1f} … {against['high']:+.1f})" if against else "–"
    )
    times = row["latencies_ms"]
    return [
        row["name"].removesuffix("-taught") + notes.get(row["kind"], "") + taught,
        f"{row['bleu']:.1f}" if "bleu" in row else "–",
        "the best baseline" if best else difference.replace("-", "−"),
        f"{times['native int8']:.2f}" if "native int8" in times else "does not run it",
        f"{times['torch float32']:.1f}",
        f"{row['parameters_with_embeddings'] / 1e6:.2f}M",
        f"{row['artefact_bytes'] / 1e6:.1f}" if "artefact_bytes" in row else "–",
    ]


def taught() -> str:
    """Students whose teacher has their own size."""
    tasks = read_json(newest("headline") / "report.json")["tasks"]
    rows = []
    for task, content in tasks.items():
        bleu = {row["name"]: row.get("bleu") for row in content["models"]}
        student = next(row for row in content["models"] if "teacher" in row)
        names = (student["name"].removesuffix("-taught"), student["name"], student["teacher"])
        languages = "→".join(code.capitalize() for code in task.split("-"))
        rows.append([languages, *(f"{bleu[name]:.1f}" for name in names)])
    return table(["BLEU", "alone", "taught", "the teacher"], rows)


def distillation() -> str:
    """The gain of a student by a teacher, for each way to learn from it."""
    found = {(row["kind"], row["weight"]): row for row in read_json(newest("distillation"))["rows"]}
    rows = [["the text alone", *_scores([found["none", None]])]]
    for kind in ("tokens", "sequences", "both"):
        several = [found[kind, weight] for weight in WEIGHTS if (kind, weight) in found]
        weights = f", weight {' / '.join(map(str, WEIGHTS))}" if several else ""
        rows.append([kind + weights, *_scores(several or [found[kind, None]])])
    return table(["the student learns from", "BLEU", "chrF"], rows)


def _scores(rows: Sequence[Row]) -> list[str]:
    return [" / ".join(f"{row[key]:.1f}" for row in rows) for key in ("bleu", "chrf")]


def compression_quality() -> str:
    """Loss in BLEU and in nats by code books, for two models."""
    by = {
        (row["model"], row["variant"]): row for row in read_json(newest("compression-quality-en-de"))["rows"]
    }
    models, variants = (list(dict.fromkeys(names)) for names in zip(*by, strict=True))
    variants.sort(key=lambda name: QUALITY_ORDER.index(name) if name in QUALITY_ORDER else len(QUALITY_ORDER))
    head = ["", *(cell for name in models for cell in (f"{name}: BLEU", "nats lost", "MB"))]
    rows = [[name, *(cell for model in models for cell in _quality(by[model, name]))] for name in variants]
    return table(head, rows)


def _quality(row: Row) -> list[str]:
    lost = "" if row["variant"] == "float32" else f"{row['nats lost']:.3f}"
    return [f"{row['bleu']:.1f}", lost, f"{row['bytes'] / 1e6:.2f}"]


def compression_speed() -> str:
    """4 bits against int8, by model, beam and kernels."""
    unique: dict[tuple[str, int, str], Row] = {}
    for row in read_json(newest("compression-speed"))["rows"]:  # of those measured twice the first counts
        unique.setdefault((row["model"], row["beam"], row["instruction_set"]), row)
    rows = [
        [
            SPEED_MODELS[model],
            str(beam),
            f"`{kernels}`",
            *(f"{row['median_ms'][name]:.2f}" for name in ("int8", "kmeans4")),
            f"{row['ratio']:.2f} ({row['ratio_p10_p90'][0]:.2f}–{row['ratio_p10_p90'][1]:.2f})",
        ]
        for (model, beam, kernels), row in unique.items()
    ]
    head = ["model", "beam", "kernels", "int8 ms", "4 bits ms", "ratio, median (10 %–90 %) of rounds"]
    return table(head, rows)


def costs() -> str:
    """Counted costs of the baselines beside the published ones."""
    built: dict[str, AnyArchitecture] = {
        "Transformer-base": VANILLA,
        "Transformer-Big": transformer(1024, 4096, 16),
        "Evolved Transformer, En-De, d = 512": EvolvedArchitecture(512, 8, 3, 4),
        "Evolved Transformer, En-Fr, d = 1024": EvolvedArchitecture(1024, 16, 3, 4),
    }
    rows = []
    for name, architecture in built.items():
        counted, known = cost(architecture, 30), PUBLISHED[name]
        millions, billions = counted.parameters / 1e6, counted.flops / 1e9
        published = difference = ""
        if known:
            published = f"{known[0]}M, {known[1]} G"
            difference = f"{100 * (millions / known[0] - 1):+.1f}%, {100 * (billions / known[1] - 1):+.1f}%"
        rows.append([name, f"{millions:.2f}M, {billions:.3f} G", published, difference.replace("-", "−")])
    return table(["model", "here", "published", "difference"], rows)


def time_shares() -> str:
    """Shares of a model's parts in time and bytes."""
    path = newest("time-shares")
    report = read_json(path)
    beams = ", ".join(f"{row['beam']} ({row['name']})" for row in report["rows"])
    notes = (
        f"One thread, int8, {report['length']} source and {report['length']} target tokens, "
        f"{report['environment']['cpu']}. Beam: {beams}. [Results](../{_where(path)})."
    )
    return f"{shares_of_parts(report['rows'])}\n\n{notes}"


def outer_choices() -> str:
    """Beams and precisions of the demo's candidates."""
    path = newest("outer-choices-demo")
    report = read_json(path)
    notes = (
        f"Candidates of the demo's search with inherited weights, {report['sentences']} sentences of the "
        f"validation text, one thread, {report['environment']['cpu']}. [Results](../{_where(path)})."
    )
    return f"{outer_choice_tables(report['rows'])}\n\n{notes}"


TABLES: dict[str, Callable[[], str]] = {
    "demo": demo,
    "example": example,
    "engines": engines,
    "competitors": competitors,
    "headline-en-de": lambda: headline("en-de"),
    "headline-en-fr": lambda: headline("en-fr"),
    "taught": taught,
    "distillation": distillation,
    "compression-quality": compression_quality,
    "compression-speed": compression_speed,
    "costs": costs,
    "time-shares": time_shares,
    "wmt-scaling": wmt_scaling,
    "outer-choices": outer_choices,
}
