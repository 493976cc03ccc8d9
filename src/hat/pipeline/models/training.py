"""Training one network of a run: the SuperTransformer, a final model, or the start of either."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from hat.architecture import Architecture, family_of
from hat.export import export
from hat.file_names import TOKENIZER, WEIGHTS
from hat.files import read_json, record_from
from hat.model import Dropout, SuperTransformer, TranslationModel, build
from hat.pipeline.models.final import FinalModel
from hat.pipeline.models.teaching import lesson_inputs, lesson_texts, soft_labels
from hat.pipeline.steps.context import Context
from hat.pipeline.steps.results import ARTEFACT, PREPARE, PREPARE_REPORT, STORES, TRAIN_SUPER, TRAINING
from hat.pipeline.steps.step import Outcome, Step
from hat.pipeline.text.tokenizers import tokenizer_config
from hat.progress import Progress, silent
from hat.runtime import DecodeOptions, TrainingLines, is_artefact
from hat.training import SubTrainee, TrainingResult, TrainingSettings, train
from hat.training.checkpoint import load_tensors, load_weights
from hat.training.threads import start_threads
from hat.version import __version__

THREADS = start_threads()
# The longest translation, from its source's length: far above any real one, and a bound on what a
# badly trained model can babble.
MAX_LENGTH_FACTOR, MAX_LENGTH_OFFSET = 2.0, 20


# Settings younger than runs: while they have their defaults, a step has the key that it had without them.
YOUNGER = {"optimizer", "sampling", "draws", "exchange_precision"}


def training_inputs(settings: TrainingSettings) -> dict[str, object]:
    """The settings that decide the result; not the interval of checkpoints, the threads and processes, nor
    the memory for activations, which a resumed training may change, nor those that its optimiser and schedule
    ignore."""
    ignored = {"checkpoint_every", "threads", "processes", "activation_checkpointing"}
    if settings.optimizer == "adam":
        ignored.add("matrix_learning_rate")
    if settings.schedule != "stable-decay":
        ignored.add("decay")
    inputs = settings.model_dump(mode="json", exclude={*ignored, *YOUNGER})
    return inputs | settings.model_dump(mode="json", include=YOUNGER, exclude_defaults=True)


def seed_and_threads(seed: int) -> None:
    """Make the following work independent of what this process did before.

    Initial weights come from the seed; the order of sums depends on the thread count, which engines and
    trainings change.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(THREADS)


def new_super(context: Context, settings: TrainingSettings) -> SuperTransformer:
    """An untrained SuperTransformer with the dropout of `settings`."""
    return SuperTransformer(context.model_config(context.space.largest()), dropout(settings))


def load_super(context: Context, settings: TrainingSettings) -> SuperTransformer:
    """The trained SuperTransformer; its extracted SubTransformers get the dropout of `settings`."""
    path = context.outcome(TRAIN_SUPER).folder / WEIGHTS
    network = new_super(context, settings)
    load_weights(path, network.largest, load_tensors(path)[0])
    return network


def dropout(settings: TrainingSettings) -> Dropout:
    """The dropout probabilities of a training."""
    return Dropout(settings.dropout, settings.attention_dropout)


def train_step(context: Context, model: FinalModel) -> Step:
    """The step that trains a final model, where it is trained, and exports it."""
    recipe = context.recipe
    prepared = context.outcome(PREPARE)
    inputs: dict[str, Any] = {
        "seed": recipe.seed,
        "architecture": model.architecture.to_dict(),
        "data": recipe.data.model_dump(mode="json", include={"source_language", "target_language"}),
        "evaluate": recipe.evaluate.model_dump(mode="json", include={"beam", "length_penalty"}),
        "training_lines": asdict(_training_lines(prepared)),
        "results": {"prepared text": prepared.digest_of(*STORES, TOKENIZER)},
    }
    if recipe.norm in family_of(model.architecture).norms:
        inputs |= context.norm_inputs
    if model.training:
        section = "sub_training" if model.elastic else "baseline_training"
        inputs[section] = training_inputs(model.training)
    if model.taught:
        inputs["train"] = recipe.train.model_dump(mode="json")
        settings, lessons = lesson_inputs(context)
        inputs |= settings
        inputs["results"] |= lessons
    if model.inherits:
        inputs["results"]["SuperTransformer"] = context.outcome(TRAIN_SUPER).digest_of(WEIGHTS)

    def run(folder: Path, progress: Progress) -> None:
        # The artefact is saved whole and last: if it is there, all is done, even after a kill.
        if not is_artefact(folder / ARTEFACT):
            _train_and_export(context, model, folder, progress)
        (folder / WEIGHTS).unlink(missing_ok=True)  # a second copy would only take room

    def help_training(folder: Path) -> None:
        _train(context, model, folder)

    outputs = (ARTEFACT, TRAINING) if model.training else (ARTEFACT,)
    return Step(model.train_step, inputs, outputs, run, help=help_training)


def _train(
    context: Context, model: FinalModel, folder: Path, progress: Progress = silent
) -> tuple[TranslationModel, TrainingResult | None]:
    """The network with its kept weights; and how these came about, unless the SuperTransformer lends them."""
    seed_and_threads(context.recipe.seed)
    network = _initial(context, model)
    if model.training is None:
        return network, None
    texts = lesson_texts(context) if model.taught else context.stores(PREPARE)
    result = train(
        SubTrainee(network),
        texts,
        settings=model.training,
        folder=folder,
        seed=context.recipe.seed,
        progress=progress,
        say=context.say,
        lessons=soft_labels(context, texts) if model.taught else None,
    )
    return network, result


def _train_and_export(context: Context, model: FinalModel, folder: Path, progress: Progress) -> None:
    recipe = context.recipe
    prepared = context.outcome(PREPARE)
    network, result = _train(context, model, folder, progress)
    provenance: dict[str, Any] = {"hat": __version__, "run": recipe.name, "model": model.name}
    if result:
        provenance |= {"validation_loss": result.loss, "updates": result.updates}
        if model.taught and recipe.distillation:
            settings, lessons = lesson_inputs(context)
            provenance["distillation"] = {**settings.get("distillation", {}), **lessons}
    provenance["data"] = prepared.digest_of(*STORES, TOKENIZER)
    export(
        network,
        folder / ARTEFACT,
        tokenizer_folder=prepared.folder / TOKENIZER,
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


def _training_lines(prepared: Outcome) -> TrainingLines:
    path = prepared.folder / PREPARE_REPORT
    return record_from(TrainingLines, read_json(path)["training_lines"], f"{path}: training_lines")


def _initial(context: Context, model: FinalModel) -> TranslationModel:
    settings = model.training or context.recipe.super_training
    if model.inherits:
        assert isinstance(model.architecture, Architecture)
        return load_super(context, settings).extract(model.architecture)
    return build(model.config(context), dropout(settings))
