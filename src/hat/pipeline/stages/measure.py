"""measure: latencies of SubTransformers on the device, for the predictor to learn from."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from hat.architecture import AnyArchitecture, Architecture
from hat.errors import UserError
from hat.files import check_keys, read_json, read_text, write_json, write_text
from hat.hardware import Bench, Measurement, MeasurementStore, MeasureProtocol, Series, measure
from hat.hardware.measuring.sampling import Sampled, measure_until_predictable, noise_floor
from hat.pipeline.context import Context
from hat.pipeline.prediction import MEASURED
from hat.pipeline.steps import Step
from hat.pipeline.versions import VERSIONS
from hat.predictor import LatencyPredictor
from hat.predictor.published_sets import read_latency_csv
from hat.progress import Progress

NAME = "measure"
LATENCIES = MEASURED
PUBLISHED = "latencies.csv"
STORE = "measurements.sqlite"
# The fields of the measure section that only measurements of few models depend on, and all that these depend
# on.
VERIFYING_ONLY = {"verify_interval", "verify_rounds"}
VERIFYING = {"lengths", "warmup", *VERIFYING_ONLY}


def steps(context: Context) -> Iterator[Step]:
    """One step; random weights will do, so it needs no training. Published latencies are only copied."""
    if context.published_latencies:
        inputs: dict[str, Any] = {"latencies": context.text_digest(context.published_latencies)}
        run = partial(_copy, context.published_latencies)
        yield Step(NAME, inputs, (PUBLISHED,), run, VERSIONS[NAME])
        return
    inputs = {
        "seed": context.recipe.seed,
        "space": context.space.to_dict(),
        "measure": context.recipe.measure.model_dump(mode="json", exclude=VERIFYING_ONLY),
        **device_inputs(context),
    }
    yield Step(NAME, inputs, (LATENCIES,), partial(_run, context), VERSIONS[NAME])


def _copy(published: Path, folder: Path, progress: Progress) -> None:
    found = read_latency_csv(published)
    # What no predictor can be fitted to is refused here, before the settings that name it are kept.
    try:
        LatencyPredictor.fit(found.averages, found.latency_ms, 0, features="averages")
    except UserError as error:
        raise UserError(f"{published}: {error}") from error
    write_text(folder / PUBLISHED, read_text(published))
    progress(1, 1, f"{published} copied")


def _run(context: Context, folder: Path, progress: Progress) -> None:
    settings = context.recipe.measure
    automatic = settings.samples == "auto"
    protocol = make_protocol(context, settings.rounds, settings.interval)
    with open_series(context, folder, protocol) as (series, bench):
        found = measure_until_predictable(
            context.space,
            context.model_config,
            series,
            bench,
            settings.most if automatic else int(settings.samples),
            settings.target if automatic else None,
            context.recipe.seed,
            progress,
        )
    rows = [{**to_dict(one.measurement), "judged": one.judged} for one in found]
    write_json(folder / LATENCIES, {"noise_floor": noise_floor(found), "measurements": rows})


def device_inputs(context: Context) -> dict[str, Any]:
    """What a latency depends on besides the architecture and the number of rounds."""
    recipe, device = context.recipe, context.device
    return {
        "device": {
            **recipe.device.model_dump(mode="json", include={"name", "beam", "batch"}),
            **{key: getattr(device, key) for key in ("engine", "precision", "threads")},
        },
        "data": {"vocabulary": recipe.data.vocabulary.model_dump(mode="json")},
        **context.norm_inputs,
        "results": {"typical lengths": context.outcome("prepare").digest_of("lengths.json")},
    }


def measured_digest(context: Context) -> str:
    """Digest of what the measure stage left."""
    return context.outcome(NAME).digest_of(PUBLISHED if context.published_latencies else LATENCIES)


def largest_latency(context: Context) -> float:
    """Milliseconds of the largest SubTransformer: measured, or predicted from published latencies."""
    if context.published_latencies:
        return float(context.predictor().predict([context.space.largest()])[0])
    return read_latencies(context)[0].measurement.latency_ms


@contextmanager
def open_series(context: Context, folder: Path, protocol: MeasureProtocol) -> Iterator[tuple[Series, Bench]]:
    """The device, and a step's series in the run's store, the largest SubTransformer being its
    reference."""
    name = folder.relative_to(context.root).as_posix()
    reference = context.model_config(context.space.largest())
    with closing(MeasurementStore(context.root / STORE)) as store, context.open_bench() as bench:
        yield Series(store, name, context.device.name, protocol, reference), bench


def measure_on_device(
    context: Context,
    architectures: Sequence[AnyArchitecture],
    folder: Path,
    progress: Progress,
    *,
    elastic: bool | Sequence[bool] = True,
    seed: int = 0,
    engine: str | None = None,
) -> list[Measurement]:
    """Measure few models with the recipe's settings for that, in a series named after the folder.

    `elastic`: True for models of the design space (one flag for all, or one each). `engine`: replaces the
    device's engine.
    """
    flags = [elastic] * len(architectures) if isinstance(elastic, bool) else elastic
    models = [
        context.model_config(architecture, elastic=flag)
        for architecture, flag in zip(architectures, flags, strict=True)
    ]
    with open_series(context, folder, verifying_protocol(context, engine)) as (series, bench):
        return measure(models, series, bench, context.recipe.seed + seed, progress)


def lengths(context: Context) -> list[tuple[int, int]]:
    """(source, target) lengths to measure at, in tokens including </s>: those of the recipe, or else
    what is typical of the training text."""
    if context.recipe.measure.lengths != "from-data":
        return list(context.recipe.measure.lengths)
    value = read_json(context.outcome("prepare").folder / "lengths.json")
    return [(source, target) for source, target in value["pairs"]]


def read_latencies(context: Context) -> list[Sampled]:
    """What the measure stage found; the largest architecture comes first."""
    path = context.outcome(NAME).folder / LATENCIES
    rows = check_keys(read_json(path), ("noise_floor", "measurements"), str(path))["measurements"]
    return [
        _from_dict(check_keys(row, (*_KEYS, "too_noisy", "judged"), str(path)), str(path)) for row in rows
    ]


def to_dict(measurement: Measurement) -> dict[str, Any]:
    """A measurement as JSON data."""
    architecture = measurement.architecture.to_dict()
    return {**asdict(measurement), "architecture": architecture, "too_noisy": measurement.too_noisy}


def _from_dict(row: Any, where: str) -> Sampled:
    values: dict[str, Any] = {key: row[key] for key in _KEYS}
    values["architecture"] = Architecture.from_dict(row["architecture"], where)
    values["pairs"] = tuple((source, target) for source, target in row["pairs"])
    values["pairs_ms"] = tuple(row["pairs_ms"])
    return Sampled(Measurement(**values), row["judged"])


_KEYS = tuple(Measurement.__dataclass_fields__)


def verifying_protocol(context: Context, engine: str | None = None) -> MeasureProtocol:
    """The protocol for measurements of few models that are compared."""
    settings = context.recipe.measure
    return make_protocol(context, settings.verify_rounds, settings.verify_interval, engine)


def make_protocol(
    context: Context, rounds: int, interval: float, engine: str | None = None
) -> MeasureProtocol:
    """How this run measures: on its device, at its lengths, in its engine unless another is named."""
    device, recipe = context.device, context.recipe
    sources, targets = zip(*lengths(context), strict=True)
    return MeasureProtocol(
        sources,
        targets,
        engine=engine or device.engine,
        threads=device.threads,
        precision=device.precision,
        beam=recipe.device.beam,
        batch=recipe.device.batch,
        accelerator=device.accelerator,
        warmup=recipe.measure.warmup,
        rounds=rounds,
        interval=interval,
    )
