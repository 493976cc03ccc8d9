"""The stages of a run, in their order. Each gives its steps as they become known from earlier ones."""

from collections.abc import Callable, Iterator

from hat.pipeline.context import Context
from hat.pipeline.stages import distill, evaluate, fit, measure, prepare, search, train, train_super
from hat.pipeline.steps import Step

# Stage → its steps. A step that depends on an earlier one asks the context for its outcome, which
# raises NotFinished as long as there is none.
STAGES: dict[str, Callable[[Context], Iterator[Step]]] = {
    "prepare": prepare.steps,
    "train-super": train_super.steps,
    "measure": measure.steps,
    "fit": fit.steps,
    "search": search.steps,
    "distill": distill.steps,
    "train": train.steps,
    "evaluate": evaluate.steps,
}
