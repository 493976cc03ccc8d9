"""The status of a run: every step as far as it can be known without running anything."""

from collections.abc import Collection, Iterable
from pathlib import Path

from hat.pipeline.last_status import StepStatus
from hat.pipeline.stages import STAGES, Stage
from hat.pipeline.steps.context import Context, NotFinished
from hat.pipeline.steps.costs import read_cost
from hat.pipeline.steps.results import version_of
from hat.pipeline.steps.step import OLDER, changes, find, finished_steps, started
from hat.pipeline.steps.training_log import skipped_updates
from hat.recipe.recipe import Recipe

# The state of results that depend on unfinished ones.
DEPENDS = "repeats only if its inputs change"


def finished(recipe: Recipe, root: Path, stages: Iterable[str] = STAGES) -> Context:
    """The run as it stands, to read the results of finished stages from."""
    context = Context(root, recipe)
    for stage in stages:
        stage_status(context, STAGES[stage])
    return context


def status(recipe: Recipe, root: Path, *, verify: bool = False) -> list[StepStatus]:
    """The status of every step of the run. `verify` compares all results with their digests; without it they
    are damaged if files are missing or have another size. Raises UserError if a result is damaged."""
    context = Context(root, recipe)
    steps = run_status(context)
    for outcome in context.outcomes.values() if verify else ():
        outcome.check(content=True)
    return steps


def run_status(context: Context) -> list[StepStatus]:
    """The status of every step. The outcomes of the finished ones are in the context afterwards."""
    return [entry for stage in STAGES.values() for entry in stage_status(context, stage)]


def stage_status(context: Context, stage: Stage) -> list[StepStatus]:
    """The status of a stage's steps; where more of them are to come, the stage itself stands for these."""
    known = []
    try:
        for step in stage.steps(context):
            outcome = find(context.root, step)
            if outcome:
                context.outcomes[step.name] = outcome
            state = "unfinished" if started(context.root, step) else "to do"
            place = step.folder(context.root)
            known.append(
                StepStatus(
                    stage.name,
                    step.name,
                    "done" if outcome else state,
                    cost=read_cost(place),
                    changes=tuple(changes(context.root, step)),
                    folder=place.relative_to(context.root).as_posix(),
                    skipped_updates=skipped_updates(place),
                )
            )
    except NotFinished:
        later = _later_changes(context.root, stage.name, known)
        known.append(StepStatus(stage.name, stage.name, "to do", changes=later))
    return known


def _later_changes(root: Path, stage: str, known: Collection[StepStatus]) -> tuple[str, ...]:
    """The changes of a stage's steps that are not known yet: whether its earlier results, beside those of the
    `known` steps, are of an older version or may be valid still."""
    names = [status.step for status in known]
    made = {name: version for name, version in finished_steps(root, stage).items() if name not in names}
    older = sorted(name for name, version in made.items() if version < version_of(name))
    notes = (f"{', '.join(older)} {OLDER}",) if older else ()
    return (*notes, DEPENDS) if made.keys() - set(older) else notes
