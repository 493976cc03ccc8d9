"""measure: latencies of SubTransformers on the device, for the predictor to learn from."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hat.architecture import Architecture
from hat.files import check_keys, read_json, write_json
from hat.hardware import Measurement, MeasureProtocol, measure, wall_clock
from hat.pipeline.context import Context
from hat.pipeline.steps import Step
from hat.progress import Progress
from hat.space import DesignSpace

NAME = "measure"
LATENCIES = "latencies.json"
# How often a seed may draw an architecture it has drawn before: tiny spaces run out.
TRIES = 50


def steps(context: Context) -> Iterator[Step]:
    """One step; random weights will do, so it needs no training."""
    settings = context.recipe.measure

    def run(folder: Path, progress: Progress) -> None:
        chosen = _architectures(context.space, settings.samples, context.recipe.seed)
        found = measure_on_device(context, chosen, settings.rounds, folder, progress)
        write_json(folder / LATENCIES, [to_dict(measurement) for measurement in found])

    inputs = {
        "seed": context.recipe.seed,
        "space": context.space.to_dict(),
        "measure": settings.model_dump(mode="json", include={"samples", "rounds", "warmup"}),
        **device_inputs(context),
    }
    yield Step(NAME, inputs, (LATENCIES,), run)


def device_inputs(context: Context) -> dict[str, Any]:
    """What a latency depends on besides the architecture and the number of rounds."""
    recipe = context.recipe
    return {
        "device": {**recipe.device.model_dump(mode="json"), "engine": context.engine},
        "data": {"vocabulary": recipe.data.vocabulary.model_dump(mode="json")},
        "results": {"typical lengths": context.outcome("prepare").digest_of("lengths.json")},
    }


def measure_on_device(
    context: Context,
    architectures: Sequence[Architecture],
    rounds: int,
    folder: Path,
    progress: Progress,
    *,
    elastic: bool | Sequence[bool] = True,
    seed: int = 0,
) -> list[Measurement]:
    """Measure with the run's protocol, the largest SubTransformer being the reference.

    `elastic`: whether they belong to the design space (all, or one flag each).
    """
    flags = [elastic] * len(architectures) if isinstance(elastic, bool) else elastic
    models = [
        context.model_config(architecture, elastic=flag)
        for architecture, flag in zip(architectures, flags, strict=True)
    ]
    return measure(
        models,
        make_protocol(context, rounds),
        folder,
        reference=context.model_config(context.space.largest()),
        timer=context.timer or wall_clock,
        seed=context.recipe.seed + seed,
        progress=progress,
    )


def lengths(context: Context) -> list[tuple[int, int]]:
    """Typical (source, target) lengths of the training text, in tokens including </s>."""
    value = read_json(context.outcome("prepare").folder / "lengths.json")
    return [(source, target) for source, target in value["pairs"]]


def read_latencies(context: Context) -> list[tuple[Architecture, float]]:
    """What the measure stage found: architectures and milliseconds; the largest one comes first."""
    path = context.outcome(NAME).folder / LATENCIES
    rows = [check_keys(row, _KEYS, str(path)) for row in read_json(path)]
    return [(Architecture.from_dict(row["architecture"], str(path)), row["latency_ms"]) for row in rows]


def to_dict(measurement: Measurement) -> dict[str, Any]:
    """A measurement as JSON data."""
    return {**asdict(measurement), "architecture": measurement.architecture.to_dict()}


_KEYS = tuple(Measurement.__dataclass_fields__)


def make_protocol(context: Context, rounds: int) -> MeasureProtocol:
    """How this run measures: on its device, at the lengths typical of its text."""
    device = context.recipe.device
    sources, targets = zip(*lengths(context), strict=True)
    return MeasureProtocol(
        sources,
        targets,
        context.engine,
        device.threads,
        device.precision,
        beam=device.beam,
        warmup=context.recipe.measure.warmup,
        rounds=rounds,
    )


def _architectures(space: DesignSpace, samples: int, seed: int) -> list[Architecture]:
    """The largest, the smallest and up to `samples` distinct others."""
    chosen = dict.fromkeys((space.largest(), space.smallest()))
    rng = random.Random(f"measure {seed}")
    for _ in range(TRIES * samples):
        if len(chosen) == samples + 2:
            break
        chosen[space.sample(rng)] = None
    return list(chosen)
