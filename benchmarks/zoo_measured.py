"""Write what finished runs measured into the zoo (src/hat/zoo/measured.json).

Takes the newest results/RUN-DATE/report.json of every run; the ends of the design space with
inherited weights are left out.

    python benchmarks/zoo_measured.py
"""

import re
from pathlib import Path
from typing import Any

from hat.files import read_json, read_yaml, write_json

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
# The zoo's name of a figure → the report's.
FIGURES = {
    "latency_ms": "latency_ms",
    "sacrebleu": "bleu",
    "chrf": "chrf",
    "artefact_bytes": "artefact_bytes",
    "peak_memory_bytes": "peak_memory_bytes",
}
RUN = re.compile(r"(.+)-(\d{4}-\d{2}-\d{2})")


def newest(folder: Path) -> list[Path]:
    """The newest folder of every run."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        match = RUN.fullmatch(path.name)
        if match and (path / "recipe.yaml").is_file():
            found[match[1]] = path
    return list(found.values())


def entries(folder: Path) -> list[dict[str, Any]]:
    """The models of one run as the zoo holds them."""
    report, recipe = read_json(folder / "report.json"), read_yaml(folder / "recipe.yaml")
    data, protocol, machine = recipe["data"], report["protocol"], report["environment"]
    run = report["run"]
    about = (
        f"run {run}, {folder.name[-10:]}: {protocol['engine']} engine, {protocol['precision']}, "
        f"{protocol['threads']} thread, beam {protocol['beam']}, batch 1, {machine['cores']} cores "
        f"of {machine['cpu']}"
    )
    return [
        {
            "name": f"{run}/{model['name']}",
            "task": f"{run.split('-')[0]}.{data['source_language']}-{data['target_language']}",
            "device": f"{machine['cpu']} {machine['machine']}".lower().replace(" ", "-"),
            "about": f"{about}; sacreBLEU {model['bleu_signature']}",
            "figures": {name: model[key] for name, key in FIGURES.items()},
            "architecture": model["architecture"],
        }
        for model in report["models"]
        if model["kind"] != "inherited"
    ]


if __name__ == "__main__":
    rows = [entry for folder in newest(RESULTS) for entry in entries(folder)]
    write_json(ROOT / "src" / "hat" / "zoo" / "measured.json", rows)
    print(f"{len(rows)} models of {len(newest(RESULTS))} runs")
