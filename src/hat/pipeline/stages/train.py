"""train: the final weights of all models that are compared, each exported as an artefact."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from hat.architecture import AnyArchitecture, Architecture, family_of
from hat.export import export
from hat.files import read_json
from hat.model import TranslationModel, build
from hat.pipeline.context import Context
from hat.pipeline.stages.search import FOUND
from hat.pipeline.stages.train_super import (
    WEIGHTS,
    dropout,
    load_super,
    seed_and_threads,
    training_inputs,
)
from hat.pipeline.steps import Outcome, Step
from hat.pipeline.teaching import lesson_inputs, lesson_texts, soft_labels
from hat.pipeline.tokenizers import tokenizer_config
from hat.pipeline.versions import VERSIONS
from hat.progress import Progress
from hat.recipe.recipe import RESERVED_NAMES, Constraint
from hat.runtime import DecodeOptions, TrainingLines, is_artefact
from hat.training import SubTrainee, TrainingResult, TrainingSettings, train
from hat.version import __version__

ARTEFACT = "artefact"
TRAINING = "training.json"
# The longest translation, from its source's length: far above any real one, and a bound on what a
# badly trained model can babble.
MAX_LENGTH_FACTOR, MAX_LENGTH_OFFSET = 2.0, 20


@dataclass(frozen=True)
class FinalModel:
    """A model of the comparison. `kind`: baseline, found (under a constraint) or inherited (the
    ends of the design space with the SuperTransformer's weights, for reference). `twin`: the
    earlier model of the same architecture and training, which it shares all files with.
    """

    name: str
    kind: str
    architecture: AnyArchitecture
    twin: str | None = None
    found: Mapping[str, Any] = field(default_factory=dict)

    @property
    def step(self) -> str:
        """The step that trains it."""
        return f"train/{self.twin or self.name}"


def final_models(context: Context) -> Iterator[FinalModel]:
    """All models of the comparison: baselines (which can be trained before the search), found
    SubTransformers, references."""
    recipe = context.recipe
    yield from _baselines(context)
    first: dict[Architecture, str] = {}
    for constraint in map(Constraint.parse, recipe.search.constraints):
        path = context.outcome(f"search/{constraint.name}").folder / FOUND
        found = read_json(path)
        architecture = Architecture.from_dict(found["architecture"], str(path))
        twin = first.get(architecture)
        yield FinalModel(constraint.name, "found", architecture, twin, found)
        first.setdefault(architecture, constraint.name)
    yield from _references(context)


def _baselines(context: Context) -> Iterator[FinalModel]:
    for baseline in context.recipe.baselines:
        yield FinalModel(baseline.name, "baseline", baseline.architecture())


def _references(context: Context) -> Iterator[FinalModel]:
    largest, smallest = RESERVED_NAMES
    yield FinalModel(largest, "inherited", context.space.largest())
    yield FinalModel(smallest, "inherited", context.space.smallest())


def teacher_model(context: Context) -> FinalModel | None:
    """The model of this run that teaches the found ones, if one does; its training belongs to the
    distill stage."""
    section = context.recipe.distillation
    known = (*_baselines(context), *_references(context))
    return next((model for model in known if section and model.name == section.teacher), None)


def steps(context: Context) -> Iterator[Step]:
    """One step for each model, so another baseline trains nothing else again."""
    teacher = teacher_model(context)
    for model in final_models(context):
        if model.twin is None and model != teacher:
            yield train_step(context, model)


def train_step(context: Context, model: FinalModel) -> Step:
    """The step that trains a model and exports it."""
    recipe = context.recipe
    prepared = context.outcome("prepare")
    settings = _settings(context, model)
    inherits = model.kind == "inherited" or (model.kind == "found" and recipe.train.mode == "fine-tune")
    inputs: dict[str, Any] = {
        "seed": recipe.seed,
        "architecture": model.architecture.to_dict(),
        "data": recipe.data.model_dump(mode="json", include={"source_language", "target_language"}),
        "evaluate": recipe.evaluate.model_dump(mode="json", include={"beam", "length_penalty"}),
        "training_lines": _training_lines(prepared).to_dict(),
        "results": {"prepared text": prepared.digest_of("train", "valid", "tokenizer")},
    }
    if context.recipe.norm in family_of(model.architecture).norms:
        inputs |= context.norm_inputs
    if settings:
        section = "sub_training" if model.kind == "found" else "baseline_training"
        inputs[section] = training_inputs(settings)
    if model.kind == "found":
        inputs["train"] = recipe.train.model_dump(mode="json")
        taught, lessons = lesson_inputs(context)
        inputs |= taught
        inputs["results"] |= lessons
    if inherits:
        inputs["results"]["SuperTransformer"] = context.outcome("train-super").digest_of(WEIGHTS)
    outputs = (ARTEFACT, TRAINING) if settings else (ARTEFACT,)
    run = partial(_run, context, model, settings, inherits)
    return Step(model.step, inputs, outputs, run, VERSIONS["train"])


def _training_lines(prepared: Outcome) -> TrainingLines:
    path = prepared.folder / "report.json"
    return TrainingLines.from_dict(read_json(path)["training_lines"], f"{path}: training_lines")


def _settings(context: Context, model: FinalModel) -> TrainingSettings | None:
    recipe = context.recipe
    if model.kind == "baseline":
        (own,) = (one for one in recipe.baselines if one.name == model.name)
        return own.training or recipe.baseline_training
    return recipe.sub_training if model.kind == "found" else None


def _run(
    context: Context,
    model: FinalModel,
    settings: TrainingSettings | None,
    inherits: bool,
    folder: Path,
    progress: Progress,
) -> None:
    # Saved whole and last, so it tells that all is done, even to a process started after a kill.
    if is_artefact(folder / ARTEFACT):
        return (folder / WEIGHTS).unlink(missing_ok=True)
    recipe = context.recipe
    prepared = context.outcome("prepare")
    seed_and_threads(recipe.seed)
    network = _initial(context, model, settings, inherits)
    provenance: dict[str, Any] = {"hat": __version__, "run": recipe.name, "model": model.name}
    if settings:
        result = _train(context, model, network, settings, folder, progress)
        provenance |= {"validation_loss": result.loss, "updates": result.updates}
        if model.kind == "found" and recipe.distillation:
            taught, lessons = lesson_inputs(context)
            provenance["distillation"] = {**taught.get("distillation", {}), **lessons}
    provenance["data"] = prepared.digest_of("train", "valid", "tokenizer")
    export(
        network,
        folder / ARTEFACT,
        tokenizer_folder=prepared.folder / "tokenizer",
        tokenizer=tokenizer_config(recipe.data),
        languages=(recipe.data.source_language, recipe.data.target_language),
        decode=DecodeOptions(
            recipe.evaluate.beam,
            recipe.evaluate.length_penalty,
            max_length_factor=MAX_LENGTH_FACTOR,
            max_length_offset=MAX_LENGTH_OFFSET,
        ),
        provenance=provenance,
        training_lines=_training_lines(prepared),
    )
    return (folder / WEIGHTS).unlink(missing_ok=True)  # a second copy would only take room


def _train(
    context: Context,
    model: FinalModel,
    network: TranslationModel,
    settings: TrainingSettings,
    folder: Path,
    progress: Progress,
) -> TrainingResult:
    """Train a model on the text or, if it was found and there is a teacher, on what that says."""
    if model.kind == "found":
        texts = lesson_texts(context)
        lessons = soft_labels(context, texts)
    else:
        texts, lessons = context.stores("prepare"), None
    seed = context.recipe.seed
    return train(
        SubTrainee(network),
        texts,
        settings=settings,
        folder=folder,
        seed=seed,
        progress=progress,
        lessons=lessons,
    )


def _initial(
    context: Context, model: FinalModel, settings: TrainingSettings | None, inherits: bool
) -> TranslationModel:
    settings = settings or context.recipe.super_training
    if inherits:
        assert isinstance(model.architecture, Architecture)
        return load_super(context, settings).extract(model.architecture)
    config = context.model_config(model.architecture, elastic=model.kind != "baseline")
    return build(config, dropout(settings))
