"""What a finished run shows: models.json for the Translator, report.json and report.md."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import Any

from hat.architecture import EMBEDDING_NAMES, weight_shapes
from hat.file_names import MODELS
from hat.files import read_json, write_json, write_text
from hat.hardware.measuring.verdict import Verdict
from hat.lines import read_lines
from hat.pipeline.context import Context
from hat.pipeline.costs import StepCost
from hat.pipeline.judging import judgement
from hat.pipeline.stages import evaluate
from hat.pipeline.stages.train import ARTEFACT, TRAINING, FinalModel, final_models
from hat.pipeline.suggestion import suggested_constraint
from hat.recipe.recipe import RESERVED_NAMES, Constraint
from hat.report import to_markdown

REPORT, MARKDOWN = "report.json", "report.md"
SAMPLES = 5


def publish(context: Context, costs: Mapping[str, StepCost]) -> None:
    """Write the three files into the run folder, from the results of the evaluate stage."""
    models = list(final_models(context))
    measurements = evaluate.read_measurements(context)
    rows = [_row(context, model, measurements[model.twin or model.name]) for model in models]
    found = {one.name: measurements[one.twin or one.name] for one in models if one.kind == "found"}
    default = _default(context, found)
    deployed = {model.name: evaluate.deployed_artefact(context, model) for model in models}
    trained = {model.name: context.outcome(model.step).folder / ARTEFACT for model in models}
    write_json(
        context.root / MODELS,
        {"default": default, "models": _relative(context, deployed), "trained": _relative(context, trained)},
    )
    latencies = {row["name"]: row["latency_ms"] for row in rows}
    largest, smallest = (latencies[name] for name in RESERVED_NAMES)
    report = {
        "run": context.recipe.name,
        "folder": str(context.root),
        "default": default,
        "models": rows,
        **evaluate.read_conditions(context),
        "predictor": asdict(context.predictor().report),
        "costs": {stage: asdict(cost) for stage, cost in costs.items()},
        "suggested_constraint": suggested_constraint(context, smallest / largest),
        "samples": _samples(context, next(one for one in models if one.name == default)),
    }
    write_json(context.root / REPORT, report)
    write_text(context.root / MARKDOWN, to_markdown(report))


def _row(context: Context, model: FinalModel, measurement: Mapping[str, Any]) -> dict[str, Any]:
    config = context.model_config(model.architecture, elastic=model.kind != "baseline")
    sizes = {name: prod(shape) for name, shape in weight_shapes(config).items()}
    whole = sum(sizes.values())
    files = [path for path in evaluate.deployed_artefact(context, model).rglob("*") if path.is_file()]
    return {
        "name": model.name,
        "kind": model.kind,
        "latency_ms": measurement["latency_ms"],
        "latency_low_ms": measurement["low_ms"],
        "latency_high_ms": measurement["high_ms"],
        "latency_iqr_ms": measurement["iqr_ms"],
        "reference_ms": measurement["reference_ms"],
        "too_noisy": measurement["too_noisy"],
        "peak_memory_bytes": measurement["peak_memory_bytes"],
        "engine": measurement["engine"],
        "parameters": whole - sum(sizes.get(name, 0) for name in EMBEDDING_NAMES),
        "parameters_with_embeddings": whole,
        "artefact_bytes": sum(path.stat().st_size for path in files),
        **evaluate.read_scores(context, model),
        **_training(context, model),
        **_search(context, model, measurement),
        "architecture": model.architecture.to_dict(),
    }


def _training(context: Context, model: FinalModel) -> dict[str, Any]:
    path = context.outcome(model.step).folder / TRAINING
    if not path.exists():
        return {"updates": 0, "validation_loss": None}
    summary = read_json(path)
    return {"updates": summary["updates"], "validation_loss": summary["loss"]}


def _search(context: Context, model: FinalModel, measurement: Mapping[str, Any]) -> dict[str, Any]:
    if not model.found:
        return {"constraint": None}
    found = model.found
    rivals = found["random"]["best"]
    constraint = Constraint.parse(found["constraint"]["text"])
    return {
        "constraint": judgement(context, constraint, measurement),
        "predicted_of_limit": found["predicted_ms"] / found["constraint"]["milliseconds"],
        "inherited_loss": found["loss"],
        "random_search_loss": rivals[0]["loss"] if rivals else None,
        "evaluations": found["evolution"]["evaluations"],
    }


def _default(context: Context, measurements: Mapping[str, Mapping[str, Any]]) -> str:
    """The fastest found model that meets the first constraint; if none does, the fastest found model.

    `measurements`: of the found models, by name."""
    first = Constraint.parse(context.recipe.search.constraints[0])
    good = [
        name
        for name, measurement in measurements.items()
        if judgement(context, first, measurement)["verdict"] is Verdict.MET
    ]
    return min(good or measurements, key=lambda name: float(measurements[name]["latency_ms"]))


def _samples(context: Context, model: FinalModel) -> list[dict[str, str]]:
    """Test sentences at even distances, as the default model translates them."""
    text = context.outcome("prepare").folder
    scored = context.outcome(evaluate.score_step(model)).folder
    source, reference = evaluate.read_pair(text, evaluate.TEST)
    columns = {
        "source": source,
        "reference": reference,
        "translation": read_lines(scored / evaluate.TRANSLATIONS),
    }
    chosen = range(0, len(source), max(1, len(source) // SAMPLES))[:SAMPLES]
    return [{name: lines[index] for name, lines in columns.items()} for index in chosen]


def _relative(context: Context, folders: Mapping[str, Path]) -> dict[str, str]:
    return {name: os.path.relpath(folder, context.root) for name, folder in folders.items()}
