"""Every section and field of a recipe: the work of a run, as the user writes it."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from hat.architecture import FAMILIES, TRANSFORMER, Norm
from hat.errors import UserError, shown
from hat.hardware import MeasureProtocol
from hat.recipe.baselines import BaselineSection
from hat.recipe.constraint import COSTS, Constraint
from hat.recipe.data import Data
from hat.recipe.distillation import Distillation
from hat.recipe.names import LARGEST, RESERVED_NAMES
from hat.recipe.paths import RecipePath
from hat.runtime import PRECISIONS, DecodeOptions, check_engine
from hat.search import EvolutionSettings
from hat.sections import Section
from hat.threads import MOST_THREADS
from hat.training.settings import SuperTrainingSettings, TrainingSettings


class DeviceSettings(Section):
    """The device that the model will run on, and its settings there."""

    name: str = "local"
    """The device that is measured: `local` is this machine's processor; `hat device list` names others."""
    file: RecipePath | None = None
    """YAML file that declares it, relative to the recipe's folder; by default ./devices.yaml or
    ~/.config/hat/devices.yaml."""
    latencies: RecipePath | None = None
    """Instead of measuring: a CSV file of published latencies of a device, which need not be at hand,
    relative to the recipe's folder. A latency is then a prediction that cannot be verified here."""
    engine: str = "auto"
    """Engine that decodes on the device; `auto`: as the device is declared, and on this machine the first
    in the list of `hat doctor` that is installed."""
    precision: str | None = None
    """Precision of the weights on the device: that of the models that are timed, scored and deployed. As
    the device is declared, unless given: int8 on this machine."""
    threads: int | None = Field(default=None, gt=0, le=MOST_THREADS)
    """Processor threads of one translation. As the device is declared, unless given: on this machine one,
    which leaves other cores to other work and is steady."""
    beam: int = Field(default=DecodeOptions.beam, gt=0)
    """Beam width while measuring; equal to `evaluate.beam` unless the device decodes otherwise."""
    batch: int = Field(default=MeasureProtocol.batch, gt=0)
    """Sentences decoded together while measuring."""

    @field_validator("engine")
    @classmethod
    def _check_engine(cls, value: str) -> str:
        try:
            check_engine(value)
        except UserError as error:
            raise ValueError(str(error)) from error
        return value

    @field_validator("precision")
    @classmethod
    def _check_precision(cls, value: str | None) -> str | None:
        if value is not None and value not in PRECISIONS:
            raise ValueError(f"{shown(value)}; the choices are {', '.join(PRECISIONS)}")
        return value


class Measure(Section):
    """Measurements of latencies, for the predictor and for comparisons."""

    samples: Literal["auto"] | int = "auto"
    """SubTransformers measured; `auto`: until the predictor's held-out error reaches `target`. The paper
    measured 2,000."""
    most: int = Field(default=80, ge=8)
    """SubTransformers measured at most where `samples` is `auto`."""
    target: float = Field(default=2.0, gt=0)
    """Held-out error in % (MAPE) that ends measuring where `samples` is `auto`; what the measurements'
    own noise explains ends it as well."""
    lengths: Literal["from-data"] | list[tuple[int, int]] = "from-data"
    """Source and target lengths that are decoded, in tokens, as `[[10, 12], [30, 30]]`; `from-data`:
    those typical of the training text."""
    interval: float = Field(default=MeasureProtocol.interval, ge=0, lt=1)
    """A model is timed until the 95% confidence interval of its latency is within ± this share of the
    latency, which is checked after 8, 16, 32, … timings."""
    rounds: int = Field(default=MeasureProtocol.rounds, gt=0)
    """The most timings of each model, in interleaved rounds, at least 8; their median counts."""
    warmup: int = Field(default=MeasureProtocol.warmup, gt=0)
    """Untimed decodes of each model before its timings."""
    verify_interval: float = Field(default=0.01, ge=0, lt=1)
    """Like `interval`, for comparisons of few models: re-measuring, verification, the final table. A
    constraint is met if the whole interval is within it, so a narrow interval wastes less of it."""
    verify_rounds: int = Field(default=100, gt=0)
    """The most rounds in comparisons of few models."""

    @field_validator("samples")
    @classmethod
    def _check_samples(cls, value: str | int) -> str | int:
        if isinstance(value, int) and value < 8:
            raise ValueError(f"{value} models are too few to fit a predictor to; at least 8, or auto")
        return value

    @field_validator("lengths")
    @classmethod
    def _check_lengths(cls, value: str | list[tuple[int, int]]) -> str | list[tuple[int, int]]:
        if isinstance(value, list) and (not value or min(min(pair) for pair in value) < 2):
            raise ValueError("a list of [source, target] lengths of at least 2 tokens, or from-data")
        return value


class Search(EvolutionSettings):
    """The evolutionary search (HAT, section 3.2; the defaults are the paper's)."""

    constraints: list[str] = Field(
        default=["60%"],
        min_length=1,
        description="Constraints, each giving one model: limits on its costs, joined by `and`, as "
        "`latency=40ms and memory=64MB`; a limit is a number with a unit, or `60%` of the largest "
        f"SubTransformer's cost. A limit without a name is one on the latency. The costs are {COSTS}.",
    )
    validation_sentences: int = Field(default=500, gt=0)
    """Validation sentences, the first ones, on which a candidate's loss is computed."""
    remeasure: int = Field(default=5, gt=0)
    """Best candidates that are measured on the device before one of them is chosen."""

    @field_validator("constraints", mode="before")
    @classmethod
    def _check_constraints(cls, values: object) -> object:
        if not isinstance(values, list):
            raise ValueError(f"{shown(values)} is not a list; write it like [12.5ms, 60%]")
        names = [Constraint.parse(value).name for value in values]
        if len(set(names)) < len(names):
            raise ValueError("the same constraint twice")
        return values

    @property
    def parsed_constraints(self) -> list[Constraint]:
        """The constraints, in the order of the recipe."""
        return [Constraint.parse(text) for text in self.constraints]


class Train(Section):
    """The final training of the SubTransformers that searches found."""

    mode: Literal["fine-tune", "scratch"] = "fine-tune"
    """`fine-tune` starts from the SuperTransformer's weights (a quarter of the updates, the paper says)."""


class Evaluate(Section):
    """Translation with the final models, in the evaluation and by default later."""

    beam: int = Field(default=DecodeOptions.beam, gt=0)
    """Beam width."""
    length_penalty: float = Field(default=DecodeOptions.length_penalty, ge=0)
    """Scores are divided by length to this power."""
    tune_length_penalty: bool = False
    """Choose it for each model instead, by the BLEU of the validation text."""
    tune_beam: float | None = Field(default=None, ge=0)
    """Deploy and time each model with the smallest beam that loses at most so much chrF on the validation
    text against `beam`, for example 0.3. Unless given, all models have `beam`."""
    batch: int = Field(default=16, gt=0)
    """Sentences decoded at once; changes the speed, not the translations."""
    tokenised_bleu: Literal["none", "cased", "lowercase"] = "none"
    """Besides sacreBLEU, BLEU as HAT's authors report it: of Moses' tokens, compounds split at dashes."""

    @property
    def tunes(self) -> bool:
        """True if the validation text decides how a model decodes."""
        return self.tune_length_penalty or self.tune_beam is not None


def _completed(baseline: Any, common: dict[Any, Any]) -> Any:
    match baseline:
        case {"training": {**own}}:
            return baseline | {"training": common | own}
    return baseline


class Recipe(Section):
    """Everything a run does, from text to models."""

    name: str = ""
    """The run's name in its reports; by default the name of the recipe's file. The default folder runs/NAME
    is always named after the file."""
    seed: int = Field(default=1, ge=0)
    """Seed of everything drawn at random."""
    data: Data
    """The parallel text."""
    space: str | dict[str, Any]
    """The design space: the name of a built-in one, or its choices written out."""
    norm: Norm = "post"
    """The place of norms in Transformers: after each residual sum, as published, or before each branch (and
    at the ends), which learns several times faster from little text."""
    super_training: SuperTrainingSettings
    """Training of the SuperTransformer."""
    sub_training: TrainingSettings
    """Final training of the found SubTransformers (see `train.mode`)."""
    baseline_training: TrainingSettings
    """Training of the baselines, which may each change it (`training`)."""
    device: DeviceSettings = DeviceSettings()
    """The device that the model will run on."""
    measure: Measure = Measure()
    """The measurements of latencies."""
    search: Search = Search()
    """The search under constraints."""
    train: Train = Train()
    """Final training."""
    distillation: Distillation | None = None
    """A teacher of the found SubTransformers; none: they learn from the text alone."""
    baselines: list[BaselineSection] = Field(default=[])
    """Models trained from scratch to compare with; `kind` is transformer (unless given) or evolved."""
    evaluate: Evaluate = Evaluate()
    """Translation with the final models."""

    @model_validator(mode="before")
    @classmethod
    def _complete_baseline_training(cls, data: Any) -> Any:
        """Settings that the training of a baseline leaves out are as in `baseline_training`."""
        match data:
            case {"baselines": [*baselines], "baseline_training": {**common}}:
                return data | {"baselines": [_completed(one, common) for one in baselines]}
        return data

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        # As permissive as names of recipe files: spaces and letters of all scripts are allowed.
        if not value.isprintable() or "/" in value or value.startswith("."):
            raise ValueError(f"{value!r} cannot name a folder")
        return value

    @field_validator("space", mode="before")
    @classmethod
    def _check_space(cls, value: object) -> object:
        if not isinstance(value, str | dict):
            raise ValueError(f"expected the name of a design space, or its choices, not {shown(value)}")
        return value

    @model_validator(mode="after")
    def _check_model_names(self) -> "Recipe":
        names = [*RESERVED_NAMES, *(baseline.name for baseline in self.baselines)]
        names += [constraint.name for constraint in self.search.parsed_constraints]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"baselines: {', '.join(twice)} is taken; name it otherwise")
        return self

    @model_validator(mode="after")
    def _check_published_latencies(self) -> "Recipe":
        others = [one for one in self.baselines if one.kind != TRANSFORMER.name]
        if others and self.device.latencies:
            raise ValueError(
                f"baselines: {', '.join(one.name for one in others)}: published latencies say nothing about "
                f"{FAMILIES[others[0].kind].title}; leave it out, or measure a device"
            )
        if self.evaluate.tune_beam is not None and self.device.latencies:
            raise ValueError(
                "evaluate: tune_beam: models with beams of their own are timed on a device, and published "
                "latencies are none; leave it out, or measure a device"
            )
        limits = [limit for constraint in self.search.parsed_constraints for limit in constraint.limits]
        measured = [limit.objective.name for limit in limits if limit.objective.measure]
        if measured and self.device.latencies:
            raise ValueError(
                f"search: constraints: {measured[0]} needs a device to measure, not published latencies; "
                "leave it out, or measure a device"
            )
        return self

    @model_validator(mode="after")
    def _check_teacher(self) -> "Recipe":
        names, section = [*(baseline.name for baseline in self.baselines), LARGEST], self.distillation
        if section and not section.is_path and section.teacher not in names:
            raise ValueError(
                f"distillation: teacher: no model is called {shown(section.teacher)}; the "
                f"choices are {', '.join(names)}, or a path with a / in it"
            )
        return self
