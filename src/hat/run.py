"""A run in Python: from a recipe to finished models, and everything that is known on the way."""

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hat.lines import read_lines
from hat.pipeline.last_status import RunStatus, saved_status
from hat.pipeline.prediction import find_fitted
from hat.pipeline.stages import STAGES
from hat.pipeline.steps.costs import StepCost, read_cost
from hat.pipeline.steps.folder import is_run, open_folder
from hat.pipeline.steps.results import ARTEFACT, PREPARE, TEST, TRANSLATIONS, VALIDATION
from hat.predictor import CostPredictor
from hat.runtime import Translator

if TYPE_CHECKING:  # the [train] extra, which a finished run does without
    from hat.architecture import AnyArchitecture, ModelConfig
    from hat.data import TokenStore
    from hat.hardware import Measurement, MeasureProtocol, Timer
    from hat.model import SuperTransformer
    from hat.pipeline.reporter import Reporter
    from hat.pipeline.steps.context import Context
    from hat.recipe import Recipe
    from hat.space import DesignSpace

# ruff: noqa: PLC0415 (the stages are imported when they are needed: status, predictor and translator are not theirs)


@dataclass(frozen=True)
class FinishedModel:
    """A model of a run that is trained and scored.

    `config`: its architecture, with the run's vocabularies. `trained`: the folder of its artefact with
    float32 weights; `deployed`: that of the artefact as the device runs it. `translations`: those of the test
    text. `cost`: that of its training.
    """

    name: str
    config: "ModelConfig"
    trained: Path
    deployed: Path
    scores: Mapping[str, Any]
    translations: Sequence[str]
    cost: StepCost


class Run:
    """A run: a recipe, and a folder with everything that was made by it.

    From text to a translation (the demo takes some minutes on two cores):

        run = hat.Run("demo")
        run.work()
        with run.translator() as translator:
            print(translator.translate(["The old dog sleeps."])[0])

    A finished run is opened by its folder; this, its status, predictor and translator need no PyTorch:

        run = hat.Run("runs/demo")
        print(run.status().steps)
    """

    def __init__(
        self,
        recipe: "str | Path | Recipe",
        folder: Path | None = None,
        *,
        settings: Mapping[str, Any] | Sequence[str] = (),
    ) -> None:
        """Open a run, or prepare a new one; nothing is written yet.

        `recipe`: the name of a built-in recipe, a recipe file, a Recipe, or the folder of an earlier run.
        `folder`: where the run is, by default runs/ with the recipe's name. `settings`: changes of the
        recipe, as {"search.constraints": ["50%"]}, or as text in YAML, as ["search.constraints=[50%]"].
        Raises UserError.
        """
        self._source = recipe
        self._overrides = _overrides(settings)
        self._wanted = folder
        if isinstance(recipe, str | Path) and not self._overrides and folder is None and is_run(Path(recipe)):
            self.folder = Path(recipe)
            open_folder(self.folder)
        else:
            self.folder = self._opened[1]

    @cached_property
    def _opened(self) -> "tuple[Recipe, Path]":
        from hat.pipeline.runner import open_run
        from hat.recipe.file import changed_recipe

        if isinstance(self._source, str | Path):
            return open_run(str(self._source), self._wanted, self._overrides)
        recipe = changed_recipe(self._source, self._overrides)
        return recipe, self._wanted or Path("runs") / recipe.name

    @cached_property
    def recipe(self) -> "Recipe":
        """The recipe, with all its settings."""
        return self._opened[0]

    @property
    def space(self) -> "DesignSpace":
        """The design space."""
        return self._context().space

    def work(
        self,
        stages: Collection[str] = tuple(STAGES),
        *,
        reporter: "Reporter | None" = None,
        timer: "Timer | None" = None,
    ) -> None:
        """Do the unfinished work of all stages, or of some. What is done is not repeated; after an
        interruption the same call goes on.

        `stages`: names from `hat.pipeline.STAGES`. `reporter`: shows messages and progress. `timer`: a
        function of an architecture and a pair of lengths that invents latencies in ms, instead of measuring
        the device. Raises UserError, and HatError where a training diverges.
        """
        from hat.pipeline.runner import run
        from hat.recipe.file import recipe_as_written

        written = None
        if self._overrides and isinstance(self._source, str | Path):
            written = recipe_as_written(str(self._source))
        run(self.recipe, self.folder, stages=stages, timer=timer, reporter=reporter, written=written)

    def status(self, *, verify: bool = False) -> RunStatus:
        """The status of every step, and the verdicts on the constraints. `verify` compares all results with
        their digests.

        It is computed anew if the recipe, the text or HAT have changed since the last work, unless PyTorch is
        not installed: then `current` is False. Raises UserError if a result is damaged.
        """
        saved = None if self._overrides else saved_status(self.folder, verify=verify)
        if saved is not None and (saved.current or find_spec("torch") is None):
            return saved
        from hat.pipeline.current_status import status

        steps = tuple(status(self.recipe, self.folder, verify=verify))
        return RunStatus(self.recipe.device.name, steps, tuple(self.constraints()), current=True)

    def constraints(self) -> list[str]:
        """One line for each constraint that has been searched under: the verdict on its model."""
        from hat.pipeline.outcome.judging import constraint_lines

        return constraint_lines(self._context())

    def models(self) -> dict[str, FinishedModel]:
        """Name → model, for all that are trained and scored.

        for name, model in hat.Run("runs/demo").models().items():
            print(name, model.scores["bleu"])
        """
        from hat.pipeline.models.final import final_models
        from hat.pipeline.outcome.comparison import deployed_artefact, read_scores
        from hat.pipeline.steps.context import NotFinished

        context, models = self._context(), {}
        with suppress(NotFinished):  # of models that searches will find
            for model in final_models(context):
                if model.score_step in context.outcomes:
                    trained = context.outcome(model.train_step).folder
                    scored = context.outcome(model.score_step).folder
                    models[model.name] = FinishedModel(
                        model.name,
                        model.config(context),
                        trained=trained / ARTEFACT,
                        deployed=deployed_artefact(context, model),
                        scores=read_scores(context, model),
                        translations=read_lines(scored / TRANSLATIONS),
                        cost=read_cost(trained),
                    )
        return models

    def test_text(self) -> tuple[list[str], list[str]]:
        """Source and target lines of the test text. Raises UserError until it is prepared."""
        from hat.pipeline.models.scoring import read_pair

        return read_pair(self._context().outcome(PREPARE).folder, TEST)

    def validation_text(self) -> tuple[list[str], list[str]]:
        """Source and target lines of the validation text. Raises UserError until it is prepared."""
        from hat.pipeline.models.scoring import read_pair

        return read_pair(self._context().outcome(PREPARE).folder, VALIDATION)

    def super_transformer(self) -> "SuperTransformer":
        """The trained SuperTransformer. Raises UserError until it is trained."""
        from hat.pipeline.models.training import load_super

        return load_super(self._context(), self.recipe.super_training)

    def token_stores(self) -> "tuple[TokenStore, TokenStore]":
        """Training and validation text as tokens. Raises UserError until they are prepared."""
        return self._context().stores(PREPARE)

    def model_config(self, architecture: "AnyArchitecture", *, elastic: bool = True) -> "ModelConfig":
        """An architecture with this run's vocabularies. `elastic`: it belongs to the design space. Raises
        UserError until the text is prepared."""
        return self._context().model_config(architecture, elastic=elastic)

    def protocol(self, rounds: int, interval: float, engine: str | None = None) -> "MeasureProtocol":
        """The protocol of this run's measurements, with another number of rounds, another interval and
        perhaps another engine. Raises UserError until the text is prepared."""
        from hat.pipeline.measuring.series import make_protocol

        return make_protocol(self._context(), rounds, interval, engine=engine)

    def measurements(self) -> "list[Measurement]":
        """The latencies measured for the predictor, the largest SubTransformer's first. Raises UserError
        until they are measured."""
        from hat.pipeline.measuring.series import read_latencies

        return [one.measurement for one in read_latencies(self._context())]

    def measure_summary(self) -> str | None:
        """The certainty of the measured latencies, in a line or two; None where they were published. Raises
        UserError until they are measured."""
        from hat.pipeline.outcome.latency import measure_summary

        return measure_summary(self._context())

    def fit_summary(self) -> dict[str, Any]:
        """The quality of the predictor, as JSON data. Raises UserError until it is fitted."""
        from hat.pipeline.outcome.latency import fit_summary

        return fit_summary(self._context())

    def predictor(self, device: str | None = None) -> CostPredictor:
        """The latency predictor for the run's device, or for another that it was fitted to.

            architecture = hat.architecture.Architecture.load("arch.yaml")
            print(hat.Run("runs/demo").predictor().predict([architecture]))  # in ms

        Raises UserError until it is fitted.
        """
        return find_fitted(self.folder, device).load()

    def translator(self, model: str | None = None, **options: Any) -> Translator:
        """A finished model, as the device runs it, ready to translate; None: the run's best.

        `options`: those of Translator.load. Raises UserError until the run is finished.
        """
        return Translator.load(self.folder, model, **options)

    def _context(self) -> "Context":
        """The run as it stands now."""
        from hat.pipeline.current_status import finished

        return finished(self.recipe, self.folder)


def _overrides(settings: Mapping[str, Any] | Sequence[str]) -> tuple[str, ...]:
    if isinstance(settings, Mapping):
        return tuple(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in settings.items())
    return tuple(settings)
