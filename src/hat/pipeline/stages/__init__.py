"""The stages of a run, in their order. docs/add/stage.md says how to add one."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hat.pipeline.steps.context import Context
    from hat.pipeline.steps.step import Step


@dataclass(frozen=True)
class Stage:
    """`name`: that of its command, its steps' folder and (with _ for -) its module. `about`: a sentence for
    --help. `sections`: those of a recipe that are accepted once it finishes (see `hat.pipeline.acceptance`).
    """

    name: str
    about: str
    sections: tuple[str, ...] = ()

    def steps(self, context: "Context") -> "Iterator[Step]":
        """The stage's steps, as they become known from the results of earlier ones. Raises NotFinished where
        further steps depend on a result that is not there.

        The module is imported here, so that names and order of the stages are known without PyTorch.
        """
        module = import_module(f"{__name__}.{self.name.replace('-', '_')}")
        steps: Iterator[Step] = module.steps(context)
        return steps


_IN_ORDER = (
    Stage(
        "prepare", "Clean the text, learn the vocabulary, write the token stores.", ("name", "seed", "data")
    ),
    Stage("train-super", "Train the SuperTransformer.", ("space", "norm", "super_training")),
    Stage("measure", "Measure SubTransformers on the device.", ("device", "measure")),
    Stage("fit", "Fit the predictors to the measurements."),
    Stage("search", "Search for the best SubTransformer under each constraint.", ("search",)),
    Stage(
        "distill",
        "Have the teacher label or translate the training text, where the recipe has one.",
        ("distillation",),
    ),
    Stage(
        "train",
        "Train the found SubTransformers and the baselines to their final weights.",
        ("train", "sub_training", "baselines", "baseline_training"),
    ),
    Stage("evaluate", "Score, time and compare the final models.", ("evaluate",)),
)
STAGES = {stage.name: stage for stage in _IN_ORDER}
