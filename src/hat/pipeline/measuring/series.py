"""Costs on the run's device: the protocols, series of measurements, and their results."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hat.architecture import Architecture, ModelConfig
from hat.files import check_keys, read_json
from hat.hardware import Bench, Measurement, MeasurementStore, MeasureProtocol, Series, measure
from hat.hardware.measuring.sampling import Sampled
from hat.pipeline.steps.context import Context
from hat.pipeline.steps.folder import MEASUREMENTS
from hat.pipeline.steps.results import LENGTHS, MEASURE, MEASURED, PREPARE, PUBLISHED
from hat.progress import Progress

# The fields of the measure section that measurements of few models alone depend on, and all on which they do.
VERIFYING_ONLY = {"verify_interval", "verify_rounds"}
VERIFYING = {"lengths", "warmup", *VERIFYING_ONLY}


def device_inputs(context: Context) -> dict[str, Any]:
    """The inputs that a latency depends on, beside the architecture and the number of rounds."""
    recipe, device = context.recipe, context.device
    return {
        "device": {
            **recipe.device.model_dump(mode="json", include={"name", "beam", "batch"}),
            **{key: getattr(device, key) for key in ("engine", "precision", "threads")},
        },
        "data": {"vocabulary": recipe.data.vocabulary.model_dump(mode="json")},
        **context.norm_inputs,
        "results": {"typical lengths": context.outcome(PREPARE).digest_of(LENGTHS)},
    }


def measured_digest(context: Context) -> str:
    """Digest of the measure stage's result."""
    return context.outcome(MEASURE).digest_of(PUBLISHED if context.published_latencies else MEASURED)


def largest_latency(context: Context) -> float:
    """Milliseconds of the largest SubTransformer: measured, or predicted from published latencies."""
    if context.published_latencies:
        return float(context.predictor().predict([context.space.largest()])[0])
    return read_latencies(context)[0].measurement.latency_ms


@contextmanager
def open_series(context: Context, folder: Path, protocol: MeasureProtocol) -> Iterator[tuple[Series, Bench]]:
    """A step's series in the run's store, its reference the largest SubTransformer, and the device."""
    name = folder.relative_to(context.root).as_posix()
    reference = context.model_config(context.space.largest())
    with closing(MeasurementStore(context.root / MEASUREMENTS)) as store, context.open_bench() as bench:
        yield Series(store, name, context.device.name, protocol, reference), bench


def measure_on_device(
    context: Context,
    models: Sequence[ModelConfig],
    *,
    folder: Path,
    progress: Progress,
    seed: int,
    engine: str | None = None,
    beam: int | None = None,
) -> list[Measurement]:
    """Measure few models with the recipe's settings for that, in a series named after the folder. `engine`
    and `beam` replace the device's."""
    with open_series(context, folder, verifying_protocol(context, engine, beam)) as (series, bench):
        return measure(models, series, bench, seed=context.recipe.seed + seed, progress=progress)


def lengths(context: Context) -> list[tuple[int, int]]:
    """(source, target) lengths to measure at, in tokens including </s>: those of the recipe, or else
    those typical of the training text."""
    if context.recipe.measure.lengths != "from-data":
        return list(context.recipe.measure.lengths)
    pairs = read_json(context.outcome(PREPARE).folder / LENGTHS)["pairs"]
    return [(source, target) for source, target in pairs]


def read_latencies(context: Context) -> list[Sampled]:
    """The results of the measure stage; the largest architecture comes first."""
    path = context.outcome(MEASURE).folder / MEASURED
    rows = check_keys(read_json(path), ("noise_floor", "measurements"), str(path))["measurements"]
    return [_read_sample(row, str(path)) for row in rows]


def measurement_record(measurement: Measurement) -> dict[str, Any]:
    """A measurement as JSON data."""
    architecture = measurement.architecture.to_dict()
    return {**asdict(measurement), "architecture": architecture, "too_noisy": measurement.too_noisy}


def _read_sample(row: object, where: str) -> Sampled:
    keys = tuple(Measurement.__dataclass_fields__)
    values = dict(check_keys(row, (*keys, "too_noisy", "judged"), where))
    judged = values.pop("judged")
    del values["too_noisy"]  # derived from the other values
    values["architecture"] = Architecture.from_dict(values["architecture"], where)
    values["pairs"] = tuple((source, target) for source, target in values["pairs"])
    values["pairs_ms"] = tuple(values["pairs_ms"])
    return Sampled(Measurement(**values), judged)


def verifying_protocol(
    context: Context, engine: str | None = None, beam: int | None = None
) -> MeasureProtocol:
    """The protocol for measurements of few models that are compared; `engine`, `beam`: as `make_protocol`."""
    settings = context.recipe.measure
    rounds, interval = settings.verify_rounds, settings.verify_interval
    return make_protocol(context, rounds, interval, engine=engine, beam=beam)


def make_protocol(
    context: Context, rounds: int, interval: float, *, engine: str | None = None, beam: int | None = None
) -> MeasureProtocol:
    """The protocol of this run's measurements, with the device's engine and beam unless others are given."""
    device, recipe = context.device, context.recipe
    sources, targets = zip(*lengths(context), strict=True)
    return MeasureProtocol(
        sources,
        targets,
        engine=engine or device.engine,
        threads=device.threads,
        precision=device.precision,
        beam=beam or recipe.device.beam,
        batch=recipe.device.batch,
        accelerator=device.accelerator,
        warmup=recipe.measure.warmup,
        rounds=rounds,
        interval=interval,
    )
