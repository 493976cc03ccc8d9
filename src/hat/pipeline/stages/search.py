"""search: under each constraint the best SubTransformer, verified by a measurement."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hat.architecture import Architecture
from hat.data import TokenStore, collate, sequential_batches
from hat.file_names import WEIGHTS
from hat.files import write_json
from hat.pipeline.measuring.limits import cost_limits, try_on_device
from hat.pipeline.measuring.search_record import choice_record
from hat.pipeline.measuring.series import VERIFYING, device_inputs, measured_digest
from hat.pipeline.models.training import load_super, seed_and_threads
from hat.pipeline.steps.context import Context, fit_step
from hat.pipeline.steps.results import FIGURES, FOUND, MEASURE, PREDICTOR, PREPARE, TRAIN_SUPER, version_of
from hat.pipeline.steps.step import Step, versioned_key
from hat.progress import Progress, between
from hat.recipe.constraint import Constraint
from hat.search import LATENCY, SearchProblem, Trial, candidate_loss, random_search, search_verified
from hat.training import UniformSampling, use_threads


def steps(context: Context) -> Iterator[Step]:
    """One step for each constraint, so another constraint repeats none of the others' work."""
    recipe = context.recipe
    losses = _loss_inputs(context)
    device = device_inputs(context)
    for constraint in recipe.search.parsed_constraints:
        inputs = {
            **device,
            "seed": recipe.seed,
            "space": context.space.to_dict(),
            "search": recipe.search.model_dump(mode="json", exclude={"constraints", "validation_sentences"}),
            "constraint": constraint.text,
            "measure": recipe.measure.model_dump(mode="json", include=VERIFYING),
            **{key: value for key, value in losses.items() if key != "results"},
            "results": {**device["results"], **losses["results"], **_cost_results(context, constraint)},
        }
        run = partial(_search, context, constraint, versioned_key(losses, version_of("losses")))
        yield Step(f"search/{constraint.name}", inputs, (FOUND,), run)


def _cost_results(context: Context, constraint: Constraint) -> dict[str, str]:
    """Digests of the results that predict the limited costs."""
    measured = [limit.objective for limit in constraint.limits if limit.objective.count is None]
    results = {}
    for one in measured:
        results[f"{one.name} predictor"] = context.outcome(fit_step(one)).digest_of(PREDICTOR)
        if one is LATENCY:
            results["measured latencies"] = measured_digest(context)
        else:
            results[f"measured {one.name}"] = context.outcome(f"{MEASURE}/{one.name}").digest_of(FIGURES)
    return results


def _loss_inputs(context: Context) -> dict[str, Any]:
    """The inputs that decide the loss of a candidate."""
    recipe = context.recipe
    return {
        "search.validation_sentences": recipe.search.validation_sentences,
        "super_training": recipe.super_training.model_dump(
            mode="json", include={"batch_tokens", "label_smoothing", "precision"}
        ),
        "results": {
            "validation text": context.outcome(PREPARE).digest_of("valid"),
            "SuperTransformer": context.outcome(TRAIN_SUPER).digest_of(WEIGHTS),
        },
    }


def _inherited_loss(context: Context, memo: Path) -> Callable[[Architecture], float]:
    """Validation loss with inherited weights, on the first sentences of the validation text. `memo`: the
    folder of the known losses, and of the number of threads that they were computed with."""
    recipe = context.recipe
    settings = recipe.super_training
    network = load_super(context, settings)
    store = TokenStore.open(context.outcome(PREPARE).folder / "valid")
    wanted = recipe.search.validation_sentences
    groups = [rows[rows < wanted] for rows in sequential_batches(store, settings.batch_tokens)]
    batches = [collate(store, rows) for rows in groups if len(rows)]
    sampling = UniformSampling(context.space, recipe.seed)
    briefly = candidate_loss(network, batches[:1], settings)
    use_threads(memo, settings.threads, lambda number: briefly(sampling.architectures(number)[0]))
    return candidate_loss(network, batches, settings)


def _search(context: Context, constraint: Constraint, losses: str, folder: Path, progress: Progress) -> None:
    recipe = context.recipe
    seed_and_threads(recipe.seed)
    # Searches under all constraints share the losses they know: none is computed twice.
    memo = context.root / "losses" / losses
    problem = SearchProblem(context.space, _inherited_loss(context, memo), cost_limits(context, constraint))

    def measure(architectures: Sequence[Architecture], series: str, progress: Progress) -> list[Trial]:
        return try_on_device(context, constraint, architectures, folder=folder / series, progress=progress)

    choice = search_verified(
        problem,
        recipe.search,
        measure=measure,
        group=recipe.search.remeasure,
        seed=recipe.seed,
        memo=memo,
        progress=between(progress, 0, 0.7),
    )
    result = choice.chosen.search
    rival = random_search(
        problem.with_bounds(result.limits),
        result.evaluations,
        seed=recipe.seed,
        folder=memo,
        progress=between(progress, 0.7, 1),
    )
    limits = {"text": constraint.text, "limits": problem.bounds}
    write_json(folder / FOUND, {"constraint": limits, **choice_record(choice), "random": rival.to_dict()})
