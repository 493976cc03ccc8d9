"""The files of a finished run for others: models.json for the Translator, report.json and report.md."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hat.architecture import weight_counts
from hat.file_names import MODELS, REPORT
from hat.files import read_json, write_json, write_text
from hat.hardware.measuring.verdict import Verdict
from hat.lines import read_lines
from hat.pipeline.measuring.apart import measured_objectives
from hat.pipeline.models.final import FinalModel, final_models
from hat.pipeline.models.scoring import read_pair
from hat.pipeline.outcome.comparison import deployed_artefact, read_conditions, read_measurements, read_scores
from hat.pipeline.outcome.judging import judgements
from hat.pipeline.outcome.suggestion import suggested_constraint
from hat.pipeline.steps.context import Context
from hat.pipeline.steps.costs import StepCost, read_cost
from hat.pipeline.steps.results import ARTEFACT, PREPARE, TEST, TRAINING, TRANSLATIONS
from hat.recipe.constraint import Constraint
from hat.recipe.names import LARGEST, SMALLEST
from hat.report import to_markdown
from hat.search import LATENCY

MARKDOWN = "report.md"
SAMPLES = 5


def publish(context: Context) -> None:
    """Write the three files into the run folder, from the results of the evaluate stage."""
    models = list(final_models(context))
    measurements = read_measurements(context)
    rows = [_row(context, model, measurements[model.files]) for model in models]
    default = _default(context, [one for one in models if one.search], measurements)
    deployed = {model.name: deployed_artefact(context, model) for model in models}
    trained = {model.name: context.outcome(model.train_step).folder / ARTEFACT for model in models}
    write_json(
        context.root / MODELS,
        {"default": default, "models": _relative(context, deployed), "trained": _relative(context, trained)},
    )
    latencies = {row["name"]: row["latency_ms"] for row in rows}
    report = {
        "run": context.recipe.name,
        "folder": str(context.root),
        "default": default,
        "models": rows,
        **read_conditions(context),
        "predictors": {
            one.name: asdict(context.predictor(one).report)
            for one in (LATENCY, *measured_objectives(context))
        },
        "costs": {stage: asdict(cost) for stage, cost in _costs(context).items()},
        "suggested_constraint": suggested_constraint(context, latencies[SMALLEST] / latencies[LARGEST]),
        "samples": _samples(context, next(one for one in models if one.name == default)),
    }
    write_json(context.root / REPORT, report)
    write_text(context.root / MARKDOWN, to_markdown(report))


def _costs(context: Context) -> dict[str, StepCost]:
    """Stage → the cost of the steps behind the current results."""
    costs: dict[str, StepCost] = {}
    for outcome in context.outcomes.values():
        stage = outcome.step.split("/", maxsplit=1)[0]
        costs[stage] = costs.get(stage, StepCost()) + read_cost(outcome.folder)
    return costs


def _row(context: Context, model: FinalModel, measurement: Mapping[str, Any]) -> dict[str, Any]:
    parameters, with_embeddings = weight_counts(model.config(context))
    files = [path for path in deployed_artefact(context, model).rglob("*") if path.is_file()]
    return {
        "name": model.name,
        "kind": _kind(model),
        "latency_ms": measurement["latency_ms"],
        "latency_low_ms": measurement["low_ms"],
        "latency_high_ms": measurement["high_ms"],
        "latency_iqr_ms": measurement["iqr_ms"],
        **{key: measurement[key] for key in ("reference_ms", "too_noisy", "peak_memory_bytes", "engine")},
        "parameters": parameters,
        "parameters_with_embeddings": with_embeddings,
        "artefact_bytes": sum(path.stat().st_size for path in files),
        **read_scores(context, model),
        **_training(context, model),
        **_search(context, model, measurement),
        "architecture": model.architecture.to_dict(),
    }


def _kind(model: FinalModel) -> str:
    """The word of reports for a model's origin."""
    return "baseline" if not model.elastic else "found" if model.search else "inherited"


def _training(context: Context, model: FinalModel) -> dict[str, Any]:
    path = context.outcome(model.train_step).folder / TRAINING
    if not path.exists():
        return {"updates": 0, "validation_loss": None}
    summary = read_json(path)
    return {"updates": summary["updates"], "validation_loss": summary["loss"]}


def _search(context: Context, model: FinalModel, measurement: Mapping[str, Any]) -> dict[str, Any]:
    if not model.search:
        return {"constraint": []}
    rivals = model.search["random"]["best"]
    limits = model.search["constraint"]["limits"]
    constraint = Constraint.parse(model.search["constraint"]["text"])
    measured = [limit.objective.name for limit in constraint.limits if limit.objective.count is None]
    return {
        "constraint": judgements(context, constraint, model, measurement),
        "predicted_of_limit": {name: model.search["predicted"][name] / limits[name] for name in measured},
        "inherited_loss": model.search["loss"],
        "random_search_loss": rivals[0]["loss"] if rivals else None,
        "evaluations": model.search["evolution"]["evaluations"],
    }


def _default(
    context: Context, models: Sequence[FinalModel], measurements: Mapping[str, Mapping[str, Any]]
) -> str:
    """The fastest searched model that meets the first constraint; if none does, the fastest searched one."""
    first = context.recipe.search.parsed_constraints[0]

    def meets(model: FinalModel) -> bool:
        verdicts = judgements(context, first, model, measurements[model.files])
        return [one["verdict"] for one in verdicts] == [Verdict.MET] * len(first.limits)

    good = [model for model in models if meets(model)]
    return min(good or models, key=lambda model: float(measurements[model.files]["latency_ms"])).name


def _samples(context: Context, model: FinalModel) -> list[dict[str, str]]:
    """Test sentences at even distances, as the default model translates them."""
    source, reference = read_pair(context.outcome(PREPARE).folder, TEST)
    translation = read_lines(context.outcome(model.score_step).folder / TRANSLATIONS)
    columns = {"source": source, "reference": reference, "translation": translation}
    chosen = range(0, len(source), max(1, len(source) // SAMPLES))[:SAMPLES]
    return [{name: lines[index] for name, lines in columns.items()} for index in chosen]


def _relative(context: Context, folders: Mapping[str, Path]) -> dict[str, str]:
    return {name: os.path.relpath(folder, context.root) for name, folder in folders.items()}
