"""The latency predictor against the paper's.

--published: on the published sets, CSV files as `hat.predictor.published_sets` reads them. The results go
to benchmarks/results/predictor-DATE/{report.md,report.json}.

    python benchmarks/predictor.py --published [--data FOLDER] [--seeds 3] [--draws 20] [--output FOLDER]
"""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import published_sets
from hat.cli import Terminal
from hat.errors import UserError
from hat.files import read_json
from hat.hardware import environment, installed_version
from reports import RESULTS, parser, save_report

LIBRARIES = ("scikit-learn", "scipy")
SECTIONS = {"published": published_sets.markdown}


def published(folder: Path, seeds: int, draws: int) -> dict[str, Any]:
    """The section of the published sets: figures for each CSV file in `folder`."""
    files = sorted(folder.glob("*.csv"))
    if not files:
        raise UserError(f"{folder}: no CSV files of latencies")
    show = Terminal()
    sets = {}
    for path in files:
        with show.working(path.stem) as progress:
            sets[path.stem] = published_sets.evaluate(path, seeds, draws, progress)
    return {"seeds": seeds, "draws": draws, "sets": sets}


def markdown(report: Mapping[str, Any]) -> str:
    """The report as people read it."""
    machine = report["environment"]
    versions = ", ".join(f"{name} {machine[name]}" for name in ("numpy", *LIBRARIES))
    head = (
        f"# Latency predictor, {report['date']}\n\n{machine['cpu']}, {machine['cores_allowed']} cores, load "
        f"{machine['load_average']:.1f} at the start. Python {machine['python']}, {versions}.\n"
    )
    return "\n".join([head, *(write(report[name]) for name, write in SECTIONS.items() if name in report)])


def main() -> None:
    line = parser(__doc__, "predictor")
    line.add_argument("--published", action="store_true", required=True)
    line.add_argument("--data", type=Path, default=RESULTS.parent / "data" / "published_latency")
    line.add_argument("--seeds", type=int, default=3)
    line.add_argument("--draws", type=int, default=20)
    options = line.parse_args()
    stored = options.output / "report.json"
    report: dict[str, Any] = read_json(stored) if stored.is_file() else {}
    versions = {name: installed_version(name) for name in LIBRARIES}
    report |= {"date": str(date.today()), "environment": environment() | versions}
    report["published"] = published(options.data, options.seeds, options.draws)
    save_report(options.output, report, markdown(report))


if __name__ == "__main__":
    main()
