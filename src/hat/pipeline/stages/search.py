"""search: under each constraint the best SubTransformer, measured before it is believed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hat.architecture import Architecture
from hat.data import TokenStore, collate, sequential_batches
from hat.files import write_json
from hat.hardware import Measurement
from hat.pipeline.context import Context
from hat.pipeline.prediction import PREDICTOR
from hat.pipeline.stages.measure import (
    VERIFYING,
    device_inputs,
    largest_latency,
    measure_on_device,
    measured_digest,
    to_dict,
)
from hat.pipeline.stages.train_super import WEIGHTS, load_super, seed_and_threads
from hat.pipeline.steps import Step, versioned_key
from hat.pipeline.versions import VERSIONS
from hat.progress import Progress, between
from hat.recipe.recipe import Constraint
from hat.search import EvolutionSettings, SearchProblem, random_search
from hat.search.evaluate import candidate_loss
from hat.search.verified import Choice, Verifying, search_verified
from hat.training import UniformSampling
from hat.training.threads import use_threads

FOUND = "found.json"
EVOLUTION = frozenset(EvolutionSettings.__dataclass_fields__)


def steps(context: Context) -> Iterator[Step]:
    """One step for each constraint, so another constraint repeats none of the others' work."""
    recipe = context.recipe
    losses = _loss_inputs(context)
    latency = {
        "measured latencies": measured_digest(context),
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
        run = partial(_run, context, constraint, versioned_key(losses, VERSIONS["losses"]))
        yield Step(f"search/{constraint.name}", inputs, (FOUND,), run, VERSIONS["search"])


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
    recipe = context.recipe
    settings = EvolutionSettings(**recipe.search.model_dump(include=set(EVOLUTION)))
    seed_and_threads(recipe.seed)
    limit = constraint.milliseconds(largest_latency(context))
    # Searches under all constraints share the losses they know: none is computed twice.
    memo = context.root / "losses" / losses
    problem = SearchProblem(context.space, _loss(context, memo), context.predictor().predict, limit)

    def measure(architectures: Sequence[Architecture], series: str, progress: Progress) -> list[Measurement]:
        return measure_on_device(context, architectures, folder / series, progress, seed=1)

    verifying = Verifying(measure, constraint.milliseconds, recipe.search.remeasure)
    choice = search_verified(problem, settings, verifying, recipe.seed, memo, between(progress, 0, 0.7))
    search = choice.chosen.search
    last = replace(problem, constraint_ms=search.constraint_ms)
    rival = random_search(last, search.evaluations, recipe.seed, memo, between(progress, 0.7, 1))
    result = {
        "constraint": {"text": constraint.text, "milliseconds": limit},
        **_report(choice),
        # A prediction agrees with itself: that verifies nothing.
        "verdict": None if context.published_latencies else choice.verdict,
        "random": rival.to_dict(),
    }
    write_json(folder / FOUND, result)


def _loss(context: Context, memo: Path) -> Callable[[Architecture], float]:
    """Validation loss with inherited weights, on the first sentences of the validation text. `memo`: the
    folder of the known losses, and of the number of threads that they were computed with."""
    recipe = context.recipe
    settings = recipe.super_training
    network = load_super(context, settings)
    store = TokenStore.open(context.outcome("prepare").folder / "valid")
    wanted = recipe.search.validation_sentences
    groups = [rows[rows < wanted] for rows in sequential_batches(store, settings.batch_tokens)]
    batches = [collate(store, rows) for rows in groups if len(rows)]
    sampling = UniformSampling(context.space, recipe.seed)
    briefly = candidate_loss(network, batches[:1], settings)
    use_threads(memo, settings.threads, lambda number: briefly(sampling.architectures(number)[0]))
    return candidate_loss(network, batches, settings)


def _report(choice: Choice) -> dict[str, Any]:
    chosen = choice.chosen
    return {
        "architecture": chosen.candidate.architecture.to_dict(),
        "loss": chosen.candidate.loss,
        "predicted_ms": chosen.candidate.latency_ms,
        "chosen_by": to_dict(chosen.measurement),
        "verification": to_dict(choice.verification),
        "measured": [
            {"loss": one.loss, "predicted_ms": one.latency_ms, **to_dict(found)}
            for one, found in chosen.measured
        ],
        "attempts": choice.attempts,
        "evolution": chosen.search.to_dict(),
    }
