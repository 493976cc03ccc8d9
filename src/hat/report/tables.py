"""The tables of a report, as plain rows of text: the same for terminal and Markdown.

A report is the content of a run's report.json, and a model one of its `models`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hat.errors import command, visible
from hat.report.constraints import cost_name, judgement_cell, judgement_sentences, milliseconds, of_limit

Report = Mapping[str, Any]
Model = Mapping[str, Any]
# Characters that Markdown would read as markup within a line.
MARKUP = re.compile(r"^[-+#*]|[\\`\[\]~<>&]|\*(?=\S)|(?<!\w)_(?=\S)")
ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}


@dataclass(frozen=True)
class Table:
    """`notes` are the sentences below it. All columns but the first hold numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def models_table(report: Report) -> Table:
    """All models compared: baselines, searched SubTransformers, references with inherited weights."""
    models, protocol = report["models"], report["protocol"]
    slowest = slowest_model(models)
    rows = [_model_row(model, slowest, report["default"]) for model in models]
    notes = [
        f"speed-up and compression (artefact bytes, embeddings included): against {slowest['name']}",
        "latency: median ± half its 95% interval, of a whole decode, all models timed in the same rounds and "
        "relative to the largest SubTransformer",
        _conditions_note(report["environment"], protocol, any("beam" in model for model in models)),
        *_engine_notes(models, protocol),
        f"BLEU: {models[0]['bleu_signature']}",
        f"chrF: {models[0]['chrf_signature']}",
        *_tokenised_notes(models),
        "* translates by default; --model NAME takes another",
        *(_searched_note(model) for model in models if model["kind"] == "found"),
        *(_predictor_note(name, fitted) for name, fitted in report["predictors"].items()),
    ]
    if noisy := [model["name"] for model in models if model["too_noisy"]]:
        notes.append(
            f"the machine was too busy or unsteady to measure {', '.join(noisy)}; measure again when idle"
        )
    return Table("Models", tuple(rows[0]), tuple(tuple(row.values()) for row in rows), tuple(notes))


def _engine_notes(models: Sequence[Model], protocol: Mapping[str, Any]) -> list[str]:
    """Models that another engine had to run: their latencies compare two programs, too."""
    usual = protocol["engine"]
    return [
        f"{model['name']} was timed with engine {model['engine']}, beside the largest SubTransformer in the "
        f"same engine: {usual} does not run it"
        for model in models
        if model.get("engine", usual) != usual
    ]


def _tokenised_notes(models: Sequence[Model]) -> list[str]:
    """BLEU as published, in runs that ask for it: comparable with those figures alone."""
    if "tokenised_bleu" not in models[0]:
        return []
    scores = ", ".join(f"{model['name']} {model['tokenised_bleu']:.1f}" for model in models)
    return [f"tokenised BLEU ({models[0]['tokenised_bleu_signature']}): {scores}"]


def slowest_model(models: Sequence[Model]) -> Model:
    """The slowest baseline; where there is none, the slowest model."""
    baselines = [model for model in models if model["kind"] == "baseline"]
    return max(baselines or models, key=lambda model: float(model["latency_ms"]))


def costs_table(report: Report) -> Table:
    """The cost of each stage."""
    costs = report["costs"].values()
    total = {key: sum(cost[key] for cost in costs) for key in ("wall_seconds", "device_seconds")}
    return Table(
        "Costs",
        ("stage", "wall time", "device hours"),
        tuple((stage, *cost_cells(cost)) for stage, cost in (*report["costs"].items(), ("total", total))),
        ("device hours: processor time summed over the cores",),
    )


def sample_lines(report: Report) -> list[str]:
    """Test sentences with reference and translation, an empty line between them."""
    names = ("source", "reference", "translation")
    samples = ([*(f"{name:>11}: {sample[name]}" for name in names), ""] for sample in report["samples"])
    return [line for sample in samples for line in sample][:-1]


def next_lines(report: Report) -> list[str]:
    """The run's folder and commands to go on with."""
    folder, constraint = report["folder"], report.get("suggested_constraint")
    search = ("--set", f"search.constraints=[{constraint}]")
    return [
        f"run folder: {folder}",
        command("hat", "translate", folder, "--interactive"),
        command("hat", "status", folder),
        *([command("hat", "run", folder, *search)] if constraint else []),
        "hat recipe multi30k > my.yaml",
    ]


def to_markdown(report: Report) -> str:
    """The whole report as Markdown."""
    parts = [
        f"# {markdown(report['run'])}",
        _markdown_table(models_table(report)),
        _markdown_table(costs_table(report)),
        f"## Sample translations\n\n{_fenced(sample_lines(report))}",
        f"## Next\n\n{_fenced(next_lines(report))}",
    ]
    return "\n\n".join(parts) + "\n"


def markdown(text: object) -> str:
    """Text for a line of Markdown, shown literally: nothing in it is markup or HTML."""
    return MARKUP.sub(lambda mark: ENTITIES.get(mark[0], rf"\{mark[0]}"), visible(text))


def _fenced(lines: Sequence[str]) -> str:
    """A block of lines shown literally; its fence is longer than any row of backticks in them."""
    content = [visible(line) for line in lines]
    fence = "`" * max(3, 1 + max((len(row) for line in content for row in re.findall("`+", line)), default=0))
    return "\n".join([fence, *content, fence])


def _markdown_table(table: Table) -> str:
    lines = [
        f"## {table.title}",
        "",
        _markdown_row(table.columns),
        "| --- |" + " ---: |" * (len(table.columns) - 1),
        *map(_markdown_row, table.rows),
        "",
        *(f"- {markdown(note)}" for note in table.notes),
    ]
    return "\n".join(lines)


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(markdown(cell).replace("|", r"\|") for cell in cells) + " |"


def _model_row(model: Model, slowest: Model, default: str) -> dict[str, str]:
    """The cells of a model by column."""
    memory, latency = model["peak_memory_bytes"], model["latency_ms"]
    half = (model["latency_high_ms"] - model["latency_low_ms"]) / 2
    inherited = " (inherited weights)" if model["kind"] == "inherited" else ""
    beam = f" (beam {model['beam']})" if "beam" in model else ""
    return {
        "model": model["name"] + ("*" if model["name"] == default else "") + inherited + beam,
        "latency ms": f"{milliseconds(latency, latency)} ± {milliseconds(half, latency)}",
        "memory MB": "–" if memory is None else f"{memory / 1e6:.0f}",
        "parameters": f"{model['parameters_with_embeddings'] / 1e6:.2f}M",
        "without emb.": f"{model['parameters'] / 1e6:.2f}M",
        "artefact MB": f"{model['artefact_bytes'] / 1e6:.1f}",
        "BLEU": f"{model['bleu']:.1f}",
        "chrF": f"{model['chrf']:.1f}",
        "speed-up": f"{slowest['latency_ms'] / latency:.2f}×",
        "compression": f"{slowest['artefact_bytes'] / model['artefact_bytes']:.2f}×",
        "constraint": judgement_cell(model["constraint"]),
    }


def _searched_note(model: Model) -> str:
    judgements, predicted = model["constraint"], model["predicted_of_limit"]
    measured = [one for one in judgements if one["cost"] in predicted]
    basis = "in rounds that took no part in choosing it"
    if not measured:
        basis = "computed, not measured"
    elif "latency" not in predicted:
        basis = "in measurements that took no part in choosing it"
    elif any(one["verdict"] is None for one in measured):
        basis = "predicted from published latencies, which nothing here could verify"
    predictions = ", ".join(
        f"{cost_name(one, judgements)}{of_limit(one, predicted[one['cost']])}" for one in measured
    )
    rival = model["random_search_loss"]
    rival_loss = "none within the constraint" if rival is None else f"{rival:.3f}"
    return (
        f"{model['name']}: {'; '.join(judgement_sentences(judgements))}, {basis}; "
        f"{f'predicted {predictions}; ' if predictions else ''}loss with inherited weights "
        f"{model['inherited_loss']:.3f}, of random search with the same {model['evaluations']} evaluations "
        f"{rival_loss}"
    )


def _conditions_note(environment: Mapping[str, Any], protocol: Mapping[str, Any], own_beams: bool) -> str:
    if "published" in environment:
        return f"not timed: latencies are predictions from {environment['published']}"
    lengths = zip(protocol["source_lengths"], protocol["target_lengths"], strict=True)
    beam = "each model with its beam" if own_beams else f"beam {protocol['beam']}"
    return (
        f"timed on {environment['cpu']} with {protocol['threads']} of {environment['cores_allowed']} "
        f"threads, engine {protocol['engine']}, {protocol['precision']}, {beam}, "
        f"source→target tokens {', '.join(f'{source}→{target}' for source, target in lengths)}"
    )


def _predictor_note(name: str, report: Mapping[str, Any]) -> str:
    return (
        f"{name} predictor: held-out error {report['mape']:.1f}% "
        f"({report['mape_low']:.1f} to {report['mape_high']:.1f}), linear baseline "
        f"{report['linear_mape']:.1f}%, {report['samples']} architectures measured"
    )


def cost_cells(cost: Mapping[str, Any]) -> tuple[str, str]:
    """The wall time and the device hours of a step or a stage."""
    return clock(cost["wall_seconds"]), f"{cost['device_seconds'] / 3600:.3f}"


def clock(seconds: float) -> str:
    """`h:mm:ss`."""
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}"
