"""The final models of a run, which are trained, scored and timed together."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hat.architecture import AnyArchitecture, Architecture, ModelConfig
from hat.pipeline.measuring.search_record import read_search
from hat.pipeline.steps.context import Context
from hat.pipeline.steps.results import FOUND
from hat.recipe.constraint import Constraint
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

    def config(self, context: Context) -> ModelConfig:
        """The model with the run's vocabularies."""
        return context.model_config(self.architecture, elastic=self.elastic)

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
    yield from _baselines(context)
    first: dict[AnyArchitecture, str] = {}
    for constraint in context.recipe.search.parsed_constraints:
        model = found_model(context, constraint)
        yield replace(model, twin=first.get(model.architecture))
        first.setdefault(model.architecture, model.name)
    yield from _references(context)


def found_model(context: Context, constraint: Constraint) -> FinalModel:
    """The SubTransformer that the search under a constraint found. Raises NotFinished."""
    path = context.outcome(f"search/{constraint.name}").folder / FOUND
    search = read_search(path)
    return FinalModel(
        constraint.name,
        Architecture.from_dict(search["architecture"], str(path)),
        training=context.recipe.sub_training,
        inherits=context.recipe.train.mode == "fine-tune",
        taught=True,
        search=search,
    )


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
