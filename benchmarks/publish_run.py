"""Copy what a finished run found into benchmarks/results/, and its table and picture into the README.

Writes results/RUN-DATE/: report.json, report.md, recipe.yaml, learning curves, and pareto.svg (BLEU
against latency). With --readme the table between the README's markers is replaced.

    python benchmarks/publish_run.py RUN_FOLDER [--readme] [--name NAME]
"""

import argparse
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import altair as alt

from hat.files import read_json, read_text, write_json, write_text
from hat.lines import read_lines
from hat.report.tables import Table, models_table

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = ("model", "latency ms", "parameters", "artefact MB", "BLEU", "speed-up", "compression")
KINDS = {"baseline": "Transformer", "found": "HAT", "inherited": "SuperTransformer's ends, inherited weights"}


def picture(models: Sequence[Mapping[str, Any]], path: Path) -> None:
    """BLEU against measured latency, one point a model."""
    rows = [
        {"model": m["name"], "kind": KINDS[m["kind"]], "latency": m["latency_ms"], "bleu": m["bleu"]}
        for m in models
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("latency:Q", title="measured latency, ms per sentence", scale=alt.Scale(zero=False)),
        y=alt.Y("bleu:Q", title="BLEU", scale=alt.Scale(zero=False)),
    )
    points = base.mark_point(filled=True, size=90).encode(color=alt.Color("kind:N", title=None))
    labels = base.mark_text(align="left", dx=8, dy=-4).encode(text="model:N")
    chart = (
        (points + labels).properties(width=560, height=300).configure_legend(orient="bottom", labelLimit=0)
    )
    chart.configure_view(strokeWidth=0).save(path)


def curves(run: Path, folder: Path) -> None:
    """Learning curves of every training of the run: validations, and each tenth update."""
    for log in sorted(run.glob("steps/**/log.jsonl")):
        if not (log.parent / "manifest.json").exists():
            continue
        name = "-".join(log.relative_to(run / "steps").parts[:-2])
        rows = [json.loads(line) for line in read_lines(log)]
        kept = [row for row in rows if row["kind"] == "valid" or row["update"] % 10 == 0]
        write_text(folder / "curves" / f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in kept))


def readme_table(table: Table, title: str, folder: Path) -> str:
    """The main columns as Markdown, with the picture and where the rest is."""
    chosen = [table.columns.index(name) for name in COLUMNS]
    lines = [
        f"| {' | '.join(COLUMNS)} |",
        "| --- |" + " ---: |" * (len(COLUMNS) - 1),
        *(f"| {' | '.join(row[index] for index in chosen)} |" for row in table.rows),
    ]
    where = folder.relative_to(ROOT)
    return "\n".join(
        [
            f"## {title}",
            "",
            *lines,
            "",
            "*: the model that translates by default; it was fine-tuned from the SuperTransformer's weights, "
            "the Transformers were trained from scratch. Made by `benchmarks/publish_run.py`; conditions, "
            f"costs and signatures in [{where}]({where}/report.md).",
            "",
            f"![BLEU against latency]({where}/pareto.svg)",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--name", help="of the results folder; the run's name by default")
    parser.add_argument("--readme", metavar="TITLE", help="put the table into the README under this title")
    options = parser.parse_args()
    report = read_json(options.run / "report.json")
    report["folder"] = f"runs/{report['run']}"
    folder = ROOT / "benchmarks" / "results" / f"{options.name or report['run']}-{date.today()}"
    write_json(folder / "report.json", report)
    write_text(
        folder / "report.md", read_text(options.run / "report.md").replace(str(options.run), report["folder"])
    )
    recipe = re.sub(r"(?m)^(\s*root:).*$", r"\1 .", read_text(options.run / "recipe.yaml"))
    write_text(folder / "recipe.yaml", recipe)
    shutil.rmtree(folder / "curves", ignore_errors=True)
    curves(options.run, folder)
    picture(report["models"], folder / "pareto.svg")
    if options.readme:
        text = read_text(ROOT / "README.md")
        table = readme_table(models_table(report), options.readme, folder)
        marked = f"<!-- results -->\n{table}\n<!-- /results -->"
        text = re.sub(r"<!-- results -->.*<!-- /results -->", lambda _: marked, text, flags=re.DOTALL)
        write_text(ROOT / "README.md", text)
    print(folder)


if __name__ == "__main__":
    main()
