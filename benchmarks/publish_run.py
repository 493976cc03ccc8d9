"""Publish a finished run: copy its results into benchmarks/results/, and its figures into the pages.

    make demo && python benchmarks/publish_run.py runs/demo

Writes results/NAME-DATE/: report.json, report.md, recipe.yaml, learning curves, and pareto.svg (BLEU against
latency). Then runs figures.py, which writes every figure, table and picture of the newest results into the
README and docs/. NAME is the run's name. An older result of that name gives way to it by hand: its closing
figures go into docs/log.md. Needs the extra [bench].

    python benchmarks/publish_run.py RUN_FOLDER [--name NAME]
"""

import json
import re
import shutil
from datetime import date
from pathlib import Path

import yaml

import figures
from hat.files import read_json, read_text, write_json, write_text
from hat.lines import read_lines
from pictures import run_picture
from reports import RESULTS, parser


def curves(run: Path, folder: Path) -> None:
    """Learning curves of every training of the run: validations, and each tenth update."""
    for log in sorted(run.glob("steps/**/log.jsonl")):
        if not (log.parent / "manifest.json").exists():
            continue
        name = "-".join(log.relative_to(run / "steps").parts[:-2])
        rows = [json.loads(line) for line in read_lines(log)]
        kept = [row for row in rows if row["kind"] == "valid" or row["update"] % 10 == 0]
        write_text(folder / "curves" / f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in kept))


def publish(run: Path, folder: Path) -> None:
    """Write the results of a finished run into `folder`, without the paths of this machine."""
    report = read_json(run / "report.json")
    report["folder"] = f"runs/{report['run']}"
    write_json(folder / "report.json", report)
    write_text(folder / "report.md", read_text(run / "report.md").replace(str(run), report["folder"]))
    recipe = re.sub(r"(?m)^(\s*root:).*$", r"\1 .", read_text(run / "recipe.yaml"))
    write_text(folder / "recipe.yaml", recipe)
    shutil.rmtree(folder / "curves", ignore_errors=True)
    curves(run, folder)
    run_picture(report, yaml.safe_load(recipe), folder / "pareto.svg")


def main() -> None:
    line = parser(__doc__)
    line.add_argument("run", type=Path)
    line.add_argument("--name", help="of the results folder; the run's name by default")
    options = line.parse_args()
    name = options.name or read_json(options.run / "report.json")["run"]
    folder = RESULTS / f"{name}-{date.today()}"
    publish(options.run, folder)
    figures.write()
    print(f"{folder}; README.md and docs/ now show its figures")


if __name__ == "__main__":
    main()
