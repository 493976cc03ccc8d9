"""Write the measurements of finished runs into the zoo (src/hat/zoo/measured.json).

Takes the newest results/RUN-DATE/report.json of every run, and of the headline; what is not trained, and
the ends of the design space with inherited weights, are left out.

    python benchmarks/zoo_measured.py
"""

import re
from pathlib import Path
from typing import Any

from hat.files import read_json, read_yaml, write_json
from reports import RESULTS

ROOT = RESULTS.parents[1]
# The zoo's name of a figure → the report's.
FIGURES = {
    "latency_ms": "latency_ms",
    "sacrebleu": "bleu",
    "chrf": "chrf",
    "artefact_bytes": "artefact_bytes",
    "peak_memory_bytes": "peak_memory_bytes",
}
RUN = re.compile(r"(.+)-(\d{4}-\d{2}-\d{2})")
HEADLINE = "headline"


def newest(folder: Path) -> list[Path]:
    """The newest folder of every run."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        match = RUN.fullmatch(path.name)
        if match and (match[1] == HEADLINE or (path / "recipe.yaml").is_file()):
            found[match[1]] = path
    return list(found.values())


def entries(folder: Path) -> list[dict[str, Any]]:
    """The models of one folder as the zoo holds them."""
    report, date = read_json(folder / "report.json"), folder.name[-10:]
    machine = report["environment"]
    if "tasks" in report:
        return [
            entry
            for name, task in report["tasks"].items()
            for entry in of_run(f"{HEADLINE}-{name}", date, f"multi30k.{name}", machine, task)
        ]
    run, data = report["run"], read_yaml(folder / "recipe.yaml")["data"]
    task = f"{run.split('-')[0]}.{data['source_language']}-{data['target_language']}"
    return of_run(run, date, task, machine, report)


def of_run(
    run: str, date: str, task: str, machine: dict[str, Any], report: dict[str, Any]
) -> list[dict[str, Any]]:
    """The trained models of one run; in the headline all of an engine were timed in the same rounds."""
    protocol = report["protocol"]
    for model in report["models"]:
        engine = model.setdefault("engine", protocol["engine"])
        if "latencies_ms" in model:
            model["latency_ms"] = model["latencies_ms"].get(f"{engine} {protocol['precision']}")
    return [
        {
            "name": f"{run}/{model['name']}",
            "task": task,
            "device": re.sub(r"[^a-z0-9_.]+", "-", f"{machine['cpu']} {machine['machine']}".lower()),
            "about": f"run {run}, {date}: {model['engine']} engine, "
            f"{protocol['precision']}, {protocol['threads']} thread, beam {protocol['beam']}, batch 1, "
            f"{machine['cores']} cores of {machine['cpu']}; sacreBLEU {model['bleu_signature']}",
            "figures": {name: model[key] for name, key in FIGURES.items()},
            "architecture": model["architecture"],
        }
        for model in report["models"]
        if model["kind"] in ("baseline", "found")
    ]


if __name__ == "__main__":
    rows = [entry for folder in newest(RESULTS) for entry in entries(folder)]
    write_json(ROOT / "src" / "hat" / "zoo" / "measured.json", rows)
    print(f"{len(rows)} models of {len(newest(RESULTS))} runs")
