"""evaluate: the final models scored on the test text and timed together."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from hat.evaluation import score, tokenised_bleu
from hat.files import read_json, write_json
from hat.hardware import MeasurementStore
from hat.lines import read_lines, write_lines
from hat.pipeline.context import Context
from hat.pipeline.decoding import best_length_penalty, translate_all
from hat.pipeline.stages.measure import (
    STORE,
    VERIFYING,
    device_inputs,
    measure_on_device,
    to_dict,
    verifying_protocol,
)
from hat.pipeline.stages.train import ARTEFACT, FinalModel, final_models
from hat.pipeline.stages.train_super import THREADS
from hat.pipeline.steps import Outcome, Step
from hat.pipeline.versions import VERSIONS
from hat.progress import Progress, between
from hat.recipe.recipe import LATENCIES
from hat.runtime import Artefact, Translator

LATENCY_STEP = f"evaluate/{LATENCIES}"
# The model as the device runs it: at the device's precision.
DEPLOYED = "deployed"
TUNING = 0.9  # of the time that scoring takes with it
SCORES, TRANSLATIONS, LATENCY_FILE = "scores.json", "translations.txt", "latencies.json"
TEST = ("test.source.txt", "test.target.txt")
VALIDATION = ("valid.source.txt", "valid.target.txt")


def steps(context: Context) -> Iterator[Step]:
    """One step deploys and scores each model, and one times all of them in the same rounds."""
    prepared = context.outcome("prepare")
    models = list(final_models(context))
    for model in models:
        if model.twin:
            continue
        trained = context.outcome(model.step)
        inputs = {
            "evaluate": _scoring_inputs(context),
            "device": {
                "engine": context.scoring_engine_for(model.architecture),
                "precision": context.device.precision,
            },
            "results": {
                "model": trained.digest_of(ARTEFACT),
                "test text": prepared.digest_of(*TEST),
            },
        }
        if context.recipe.evaluate.tune_length_penalty:
            inputs["results"]["validation text"] = prepared.digest_of(*VALIDATION)
        run = partial(_score, context, model, trained)
        yield Step(score_step(model), inputs, (DEPLOYED, TRANSLATIONS, SCORES), run, VERSIONS["evaluate"])
    yield _latency_step(context, models)


def score_step(model: FinalModel) -> str:
    """The step that scores a model."""
    return f"evaluate/{model.twin or model.name}"


def _score(context: Context, model: FinalModel, trained: Outcome, folder: Path, progress: Progress) -> None:
    text, settings = context.outcome("prepare").folder, context.recipe.evaluate
    deployed = Artefact.load(trained.folder / ARTEFACT).at_precision(context.device.precision)
    deployed.save(folder / DEPLOYED)
    engine = context.scoring_engine_for(model.architecture)
    sources, references = read_pair(text, TEST)
    with Translator.load(folder / DEPLOYED, None, engine, THREADS) as translator:
        decode = deployed.config.decode
        if settings.tune_length_penalty:
            tuning, progress = between(progress, 0, TUNING), between(progress, TUNING, 1)
            pair = read_pair(text, VALIDATION)
            tuned = best_length_penalty(translator, *pair, settings.batch, tuning)
            decode = replace(decode, length_penalty=tuned)
        translated = translate_all(translator, sources, settings.batch, progress, decode.length_penalty)
    if decode != deployed.config.decode:
        deployed.with_decode(decode).save(folder / DEPLOYED)
    write_lines(folder / TRANSLATIONS, translated)
    scores = _scores(context, translated, references)
    write_json(folder / SCORES, scores | {"length_penalty": decode.length_penalty})


def _scoring_inputs(context: Context) -> dict[str, Any]:
    evaluate = context.recipe.evaluate
    inputs = evaluate.model_dump(mode="json", include={"batch", "tokenised_bleu", "tune_length_penalty"})
    # Where these are not used, as if there were no such settings.
    return {name: value for name, value in inputs.items() if value not in ("none", False)}


def _scores(context: Context, translated: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    scores = asdict(score(translated, references))
    kind = context.recipe.evaluate.tokenised_bleu
    if kind != "none":
        language = context.recipe.data.target_language
        found = tokenised_bleu(translated, references, language, kind == "lowercase")
        scores["tokenised_bleu"], scores["tokenised_bleu_signature"] = found
    return scores


def _latency_step(context: Context, models: Sequence[FinalModel]) -> Step:
    recipe = context.recipe

    def run(folder: Path, progress: Progress) -> None:
        distinct = [model for model in models if not model.twin]
        rows: dict[str, Any] = {}
        for engine in dict.fromkeys(context.engine_for(model.architecture) for model in distinct):
            chosen = [model for model in distinct if context.engine_for(model.architecture) == engine]
            rows |= _measured(context, chosen, engine, folder, progress)
        write_json(folder / LATENCY_FILE, {model.name: rows[model.name] for model in distinct})

    inputs = {
        **device_inputs(context),
        "seed": recipe.seed,
        "space": context.space.to_dict(),
        "measure": recipe.measure.model_dump(mode="json", include=VERIFYING),
        "models": {model.name: _describe(context, model) for model in models},
    }
    return Step(LATENCY_STEP, inputs, (LATENCY_FILE,), run, VERSIONS[LATENCY_STEP])


def _measured(
    context: Context, models: Sequence[FinalModel], engine: str, folder: Path, progress: Progress
) -> dict[str, Any]:
    """Measurements of models in one engine, in the same rounds, under the models' names."""
    found = measure_on_device(
        context,
        [model.architecture for model in models],
        folder,
        progress,
        elastic=[model.kind != "baseline" for model in models],
        seed=3,
        engine=engine,
    )
    protocol = verifying_protocol(context, engine)
    with context.open_bench() as bench:
        return {
            model.name: {
                **to_dict(measurement),
                "engine": engine,
                "peak_memory_bytes": bench.peak_memory(deployed_artefact(context, model), protocol),
            }
            for model, measurement in zip(models, found, strict=True)
        }


def _describe(context: Context, model: FinalModel) -> dict[str, Any]:
    described = {
        "architecture": model.architecture.to_dict(),
        "baseline": model.kind == "baseline",
        "twin": model.twin,
    }
    engine = context.engine_for(model.architecture)
    return described if engine == context.device.engine else {**described, "engine": engine}


def deployed_artefact(context: Context, model: FinalModel) -> Path:
    """An evaluated model as the device runs it."""
    return context.outcome(score_step(model)).folder / DEPLOYED


def read_pair(text: Path, names: tuple[str, str]) -> tuple[list[str], list[str]]:
    """The source and the target lines of TEST or VALIDATION."""
    source, target = names
    return read_lines(text / source), read_lines(text / target)


def read_scores(context: Context, model: FinalModel) -> dict[str, Any]:
    """The scores of an evaluated model."""
    return dict(read_json(context.outcome(score_step(model)).folder / SCORES))


def read_conditions(context: Context) -> dict[str, Any]:
    """Machine and protocol of those measurements: without them they mean nothing."""
    folder = context.outcome(LATENCY_STEP).folder
    with closing(MeasurementStore(context.root / STORE)) as store:
        environment = store.environment(folder.relative_to(context.root).as_posix(), context.device.name)
    protocol = verifying_protocol(context)
    return {"environment": environment, "protocol": protocol.to_dict()}


def read_measurements(context: Context) -> dict[str, Any]:
    """Model name (not of twins) → its measurement and peak memory."""
    return dict(read_json(context.outcome(LATENCY_STEP).folder / LATENCY_FILE))
