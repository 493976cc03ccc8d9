"""The gain by a teacher: the found models of a run trained alone and taught, with equally many updates.

The paper's figure: a student of 25.8 BLEU reaches 26.1 with a teacher of 28.5. Works on a finished run
and leaves its recipe as it was.

    python benchmarks/distillation.py RUN_FOLDER TEACHER [--weights 0.9 0.5] [--output FILE]

TEACHER: as `distillation.teacher` in a recipe.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hat import Run
from hat.files import read_json
from hat.runtime import Artefact
from reports import parser, save_record

STAGES = ("distill", "train", "evaluate")
KINDS = ("tokens", "sequences", "both")


def rows(folder: Path, distillation: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Train (unless done before) and evaluate the found models; their quality, and what teaching cost."""
    run = Run(folder, settings={"distillation": distillation})
    run.work(STAGES)
    steps = [one for one in run.status().steps if one.step.startswith("distill/")]
    taught = distillation or {"kind": "none"}
    teaching = {key: taught.get(key) for key in ("kind", "weight", "references")}
    teaching["teacher_seconds"] = round(sum(one.cost.wall_seconds for one in steps), 1)
    keys = ("name", "parameters", "updates", "validation_loss", "bleu", "chrf")
    models = [model for model in read_json(folder / "report.json")["models"] if model["kind"] == "found"]
    return [{**teaching, **{key: model[key] for key in keys}} for model in models]


def settings(teacher: str, weights: Sequence[float]) -> list[dict[str, Any] | None]:
    """No teacher, then each kind at each weight that matters to it, last translations beside references."""
    chosen: list[dict[str, Any] | None] = [None]
    for kind in KINDS:
        for share in [{"weight": weight} for weight in weights] if kind != "sequences" else [{}]:
            chosen.append({"teacher": teacher, "kind": kind, **share})
    return [*chosen, {"teacher": teacher, "kind": "sequences", "references": True}]


def described(teacher: str) -> str:
    """A teacher by its name and run, instead of its path."""
    if "/" not in teacher:
        return teacher
    provenance = Artefact.load(Path(teacher)).config.provenance
    return f"{provenance['model']} of the run {provenance['run']}"


def main() -> None:
    line = parser(__doc__, "distillation", ".json")
    line.add_argument("run", type=Path)
    line.add_argument("teacher")
    line.add_argument("--weights", type=float, nargs="+", default=[0.9, 0.5])
    options = line.parse_args()
    recipe = Run(options.run).recipe  # as it is, to come back to
    recorded = []
    for distillation in settings(options.teacher, options.weights):
        for row in rows(options.run, distillation):
            recorded.append(row)
            print(*(f"{key} {value}" for key, value in row.items()), sep="  ", flush=True)
    Run(recipe, options.run).work(STAGES)
    save_record(options.output, run=recipe.name, teacher=described(options.teacher), rows=recorded)


if __name__ == "__main__":
    main()
