"""Costs on the run's device that are measured apart from the latency, such as peak memory."""

from collections.abc import Sequence
from pathlib import Path

from hat.architecture import AnyArchitecture, Architecture
from hat.disk import make_folder
from hat.errors import UserError
from hat.files import check_keys, read_json, write_json
from hat.hardware.measuring.store import model_key
from hat.pipeline.measuring.series import read_latencies, verifying_protocol
from hat.pipeline.steps.context import Context
from hat.pipeline.steps.results import FIGURES, MEASURE, PARTIAL
from hat.progress import Progress
from hat.search import OBJECTIVES, Objective

# SubTransformers of which these costs are measured.
SAMPLES = 24


def measured_objectives(context: Context) -> list[Objective]:
    """The limited objectives that are measured apart from the latency."""
    constraints = context.recipe.search.parsed_constraints
    limited = {limit.objective.name for constraint in constraints for limit in constraint.limits}
    return [one for one in OBJECTIVES.values() if one.measure and one.name in limited]


def measure_apart(
    context: Context,
    objective: Objective,
    architectures: Sequence[AnyArchitecture],
    *,
    count: int,
    path: Path,
    progress: Progress,
) -> list[list[float]]:
    """`count` figures of each architecture. The file `path` keeps those that were measured before a kill.
    Raises UserError if the device does not report them."""
    assert objective.measure is not None
    models = [context.model_config(architecture) for architecture in architectures]
    known = read_json(path) if path.exists() else {}
    protocol, name = verifying_protocol(context), objective.name
    with context.open_bench() as bench:
        for number, model in enumerate(models):
            progress(number, len(models), f"{name} measured")
            if model_key(model) in known:
                continue
            values = objective.measure(bench, model, protocol, count)
            if values is None:
                raise UserError(
                    f"search: constraints: device {context.device.name} does not report {name}; leave it out"
                )
            known[model_key(model)] = list(values)
            make_folder(path.parent)
            write_json(path, known)
    return [known[model_key(model)] for model in models]


def read_figures(context: Context, objective: Objective) -> list[tuple[Architecture, list[float], bool]]:
    """The measured figures of an objective; the largest architecture comes first. The flag says that an
    architecture was drawn at random, so that its held-out error counts."""
    path = context.outcome(f"{MEASURE}/{objective.name}").folder / FIGURES
    rows = [check_keys(row, ("architecture", "judged", "values"), str(path)) for row in read_json(path)]
    return [
        (Architecture.from_dict(row["architecture"], str(path)), row["values"], row["judged"]) for row in rows
    ]


def measure_samples(context: Context, objective: Objective, folder: Path, progress: Progress) -> None:
    """Measure an objective of some architectures whose latencies were measured."""
    samples = read_latencies(context)[:SAMPLES]
    architectures = [one.measurement.architecture for one in samples]
    measured = measure_apart(
        context, objective, architectures, count=1, path=folder / PARTIAL, progress=progress
    )
    rows = [
        {"architecture": architecture.to_dict(), "judged": sample.judged, "values": values}
        for architecture, sample, values in zip(architectures, samples, measured, strict=True)
    ]
    write_json(folder / FIGURES, rows)
