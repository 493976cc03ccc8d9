"""The final models of a run, which are trained, scored and timed together."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hat.architecture import AnyArchitecture, Architecture
from hat.pipeline.measuring.search_record import read_search
from hat.pipeline.steps.context import Context
from hat.pipeline.steps.results import FOUND
from hat.recipe.names import LARGEST, SMALLEST
from hat.training import TrainingSettings


@dataclass(frozen=True)
class FinalModel:
    """A model of the comparison.

    `training`: None for the ends of the design space, which are compared as the SuperTransformer lends them.
    `inherits`: it starts from the SuperTransformer's weights. `elastic`: it belongs to the design space.
    `taught`: it learns from the recipe's teacher, if there is one. `twin`: the earlier model of the same
    architecture and training, whose files it shares. `search`: the record of the search that found it.
    """

    name: str
    architecture: AnyArchitecture
    training: TrainingSettings | None = None
    inherits: bool = False
    elastic: bool = True
    taught: bool = False
    twin: str | None = None
    search: Mapping[str, Any] = field(default_factory=dict)

    @property
    def files(self) -> str:
        """The name of the model whose files it shares: its twin's, or its own."""
        return self.twin or self.name

    @property
    def train_step(self) -> str:
        """The step that trains it."""
        return f"train/{self.files}"

    @property
    def score_step(self) -> str:
        """The step that scores it."""
        return f"evaluate/{self.files}"


def final_models(context: Context) -> Iterator[FinalModel]:
    """All models of the comparison: baselines (which can be trained before the search), the SubTransformers
    that searches found, references. Raises NotFinished where a search is not."""
    recipe = context.recipe
    yield from _baselines(context)
    first: dict[Architecture, str] = {}
    for constraint in recipe.search.parsed_constraints:
        path = context.outcome(f"search/{constraint.name}").folder / FOUND
        search = read_search(path)
        architecture = Architecture.from_dict(search["architecture"], str(path))
        yield FinalModel(
            constraint.name,
            architecture,
            training=recipe.sub_training,
            inherits=recipe.train.mode == "fine-tune",
            taught=True,
            twin=first.get(architecture),
            search=search,
        )
        first.setdefault(architecture, constraint.name)
    yield from _references(context)


def teacher_model(context: Context) -> FinalModel | None:
    """The model of this run that teaches those that searches find, if one does; its training belongs to the
    distill stage."""
    section = context.recipe.distillation
    known = (*_baselines(context), *_references(context))
    return next((model for model in known if section and model.name == section.teacher), None)


def _baselines(context: Context) -> Iterator[FinalModel]:
    for baseline in context.recipe.baselines:
        training = baseline.training or context.recipe.baseline_training
        yield FinalModel(baseline.name, baseline.architecture(), training=training, elastic=False)


def _references(context: Context) -> Iterator[FinalModel]:
    yield FinalModel(LARGEST, context.space.largest(), inherits=True)
    yield FinalModel(SMALLEST, context.space.smallest(), inherits=True)
