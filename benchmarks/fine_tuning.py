"""The gain by inherited weights: fine-tuning against training from scratch with more updates.

The paper's figure: 10k updates from inherited weights equal 40k from scratch. Works on a finished run
and leaves its recipe as it was.

    python benchmarks/fine_tuning.py RUN_FOLDER [--factors 1 2 4] [--output FILE]
"""

from pathlib import Path

from hat import Run
from hat.files import read_json
from reports import parser, save_record


def rows(folder: Path, mode: str, updates: int) -> list[dict[str, object]]:
    """Train (unless done before) and evaluate the found models; their quality."""
    Run(folder, settings={"train.mode": mode, "sub_training.updates": updates}).work()
    keys = ("name", "updates", "validation_loss", "bleu")
    models = [model for model in read_json(folder / "report.json")["models"] if model["kind"] == "found"]
    return [{"mode": mode, **{key: model[key] for key in keys}} for model in models]


def main() -> None:
    line = parser(__doc__, "fine-tuning", ".json")
    line.add_argument("run", type=Path)
    line.add_argument("--factors", type=int, nargs="+", default=[1, 2, 4])
    options = line.parse_args()
    recipe = Run(options.run).recipe
    updates = recipe.sub_training.updates
    recorded = [row for factor in options.factors for row in rows(options.run, "scratch", factor * updates)]
    recorded = rows(options.run, recipe.train.mode, updates) + recorded
    for row in recorded:
        print(*(f"{key} {value}" for key, value in row.items()), sep="  ")
    save_record(options.output, run=recipe.name, rows=recorded)


if __name__ == "__main__":
    main()
