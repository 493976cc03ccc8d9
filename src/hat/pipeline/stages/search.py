"""search: under each constraint the best SubTransformer, measured before it is believed.

Predictions propose; measurements decide. The best candidates of the search are measured again, the
one of lowest loss that meets the constraint is chosen, and a fresh measurement, which took no part
in choosing, verifies it. Where none is verified, the predictor was too hopeful here: the search is
repeated below a corrected latency.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from hat.architecture import Architecture
from hat.data import TokenStore, collate, sequential_batches
from hat.files import digest, write_json
from hat.hardware import Measurement
from hat.pipeline.context import Context
from hat.pipeline.recipe import Constraint
from hat.pipeline.stages.fit import PREDICTOR, load_predictor
from hat.pipeline.stages.measure import (
    LATENCIES,
    VERIFYING,
    device_inputs,
    measure_on_device,
    read_latencies,
    to_dict,
)
from hat.pipeline.stages.train_super import WEIGHTS, load_super, seed_and_threads
from hat.pipeline.steps import Step
from hat.progress import Progress, between
from hat.search import Candidate, EvolutionSettings, SearchProblem, evolve, random_search
from hat.search.evaluate import candidate_loss
from hat.training.precision import uses_bf16

FOUND = "found.json"
# Shares of the progress of up to three searches: where no candidate of one is verified, the next
# searches below a latency corrected by what was measured. The rest belongs to random search.
ATTEMPTS = ((0.0, 0.5), (0.5, 0.6), (0.6, 0.7))
EVOLUTION = frozenset(EvolutionSettings.__dataclass_fields__)


def steps(context: Context) -> Iterator[Step]:
    """One step for each constraint, so another constraint repeats none of the others' work."""
    recipe = context.recipe
    losses = _loss_inputs(context)
    latency = {
        "measured latencies": context.outcome("measure").digest_of(LATENCIES),
        "latency predictor": context.outcome("fit").digest_of(PREDICTOR),
    }
    device = device_inputs(context)
    for constraint in map(Constraint.parse, recipe.search.constraints):
        inputs = {
            **device,
            "seed": recipe.seed,
            "space": context.space.to_dict(),
            "search": recipe.search.model_dump(mode="json", exclude={"constraints", "validation_sentences"}),
            "constraint": constraint.text,
            "measure": recipe.measure.model_dump(mode="json", include=VERIFYING),
            **{key: value for key, value in losses.items() if key != "results"},
            "results": {**device["results"], **losses["results"], **latency},
        }
        run = partial(_run, context, constraint, digest(losses)[:12])
        yield Step(f"search/{constraint.name}", inputs, (FOUND,), run)


def _loss_inputs(context: Context) -> dict[str, Any]:
    """What decides the loss of a candidate."""
    recipe = context.recipe
    return {
        "search.validation_sentences": recipe.search.validation_sentences,
        "super_training": recipe.super_training.model_dump(
            mode="json", include={"batch_tokens", "label_smoothing", "precision"}
        ),
        "results": {
            "validation text": context.outcome("prepare").digest_of("valid"),
            "SuperTransformer": context.outcome("train-super").digest_of(WEIGHTS),
        },
    }


def _run(context: Context, constraint: Constraint, losses: str, folder: Path, progress: Progress) -> None:
    settings = EvolutionSettings(**context.recipe.search.model_dump(include=set(EVOLUTION)))
    seed = context.recipe.seed
    limit = constraint.milliseconds(read_latencies(context)[0].measurement.latency_ms)
    problem = SearchProblem(context.space, _loss(context), load_predictor(context).predict, limit)
    # Searches under all constraints share the losses they know: none is computed twice.
    memo = context.root / "losses" / losses
    for attempt, (start, end) in enumerate(ATTEMPTS):
        seed_and_threads(seed)  # measuring changes the number of threads, and with it the order of sums
        found = evolve(problem, settings, seed, memo, between(progress, start, start + (end - start) * 0.6))
        part = between(progress, start + (end - start) * 0.6, end)
        choice = _choose(context, constraint, found.best, folder / f"attempt-{attempt}", part)
        tighter = _corrected(problem.constraint_ms, limit, constraint, choice["measured"])
        if choice["verified"] or tighter < found.lowest_reachable_ms:
            break
        problem = replace(problem, constraint_ms=tighter)
    seed_and_threads(seed)
    rival = random_search(problem, found.evaluations, seed, memo, between(progress, ATTEMPTS[-1][1], 1))
    result = {
        "constraint": {"text": constraint.text, "milliseconds": limit},
        **choice,
        "attempts": attempt + 1,
        "evolution": found.to_dict(),
        "random": rival.to_dict(),
    }
    write_json(folder / FOUND, result)


def _corrected(
    current_ms: float, limit_ms: float, constraint: Constraint, measured: Sequence[Mapping[str, Any]]
) -> float:
    """The predicted latency to search below next, where the candidates of the last search missed the
    constraint: lower by what their measurements exceed their predictions."""
    excess = [
        (one["latency_ms"] / constraint.milliseconds(one["reference_ms"])) / (one["predicted_ms"] / limit_ms)
        for one in measured
    ]
    return float(min(limit_ms / median(excess), 0.97 * current_ms))


def _loss(context: Context) -> Callable[[Architecture], float]:
    """Validation loss with inherited weights, on the first sentences of the validation text."""
    recipe = context.recipe
    settings = recipe.super_training
    network = load_super(context, settings)
    store = TokenStore.open(context.outcome("prepare").folder / "valid")
    wanted = recipe.search.validation_sentences
    groups = [rows[rows < wanted] for rows in sequential_batches(store, settings.batch_tokens)]
    batches = [collate(store, rows) for rows in groups if len(rows)]

    return candidate_loss(network, batches, settings.label_smoothing, uses_bf16(settings))


def _choose(
    context: Context,
    constraint: Constraint,
    candidates: Sequence[Candidate],
    folder: Path,
    progress: Progress,
) -> dict[str, Any]:
    """Re-measure candidates, best first, until one meets the constraint twice."""
    rounds, group = context.recipe.measure.verify_rounds, context.recipe.search.remeasure
    measured: list[tuple[Candidate, Measurement]] = []
    verified: list[tuple[Candidate, Measurement, Measurement]] = []
    for start in range(0, len(candidates), group):
        some = candidates[start : start + group]
        again = measure_on_device(
            context,
            [candidate.architecture for candidate in some],
            rounds,
            folder / f"measured-{start}",
            progress,
            seed=1,
        )
        fresh = list(zip(some, again, strict=True))
        measured += fresh
        for candidate, measurement in fresh:
            if _meets(constraint, measurement):
                place = folder / f"verified-{len(verified)}"
                (second,) = measure_on_device(
                    context, [candidate.architecture], rounds, place, progress, seed=2
                )
                verified.append((candidate, measurement, second))
                if _meets(constraint, second):
                    return _report(verified[-1], True, measured, len(verified))
    if not verified:
        candidate, measurement = min(measured, key=lambda pair: pair[1].latency_ms)
        return _report((candidate, measurement, measurement), False, measured, 0)
    fastest = min(verified, key=lambda triple: triple[2].latency_ms)
    return _report(fastest, False, measured, len(verified))


def _meets(constraint: Constraint, measurement: Measurement) -> bool:
    """A relative constraint refers to the largest SubTransformer as timed in the same rounds, which
    keeps a machine that has become slower or faster since from deciding."""
    return measurement.latency_ms <= constraint.milliseconds(measurement.reference_ms)


def _report(
    chosen: tuple[Candidate, Measurement, Measurement],
    verified: bool,
    measured: Sequence[tuple[Candidate, Measurement]],
    verifications: int,
) -> dict[str, Any]:
    candidate, measurement, verification = chosen
    return {
        "architecture": candidate.architecture.to_dict(),
        "loss": candidate.loss,
        "predicted_ms": candidate.latency_ms,
        "measured_ms": measurement.latency_ms,
        "verified_ms": verification.latency_ms,
        "verified": verified,
        "verifications": verifications,
        "measured": [
            {"loss": one.loss, "predicted_ms": one.latency_ms, **to_dict(found)} for one, found in measured
        ],
    }
