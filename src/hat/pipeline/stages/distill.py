"""distill: a teacher's soft labels for the training text, or its translations of it, or both."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from hat.data import TokenStore
from hat.file_names import TOKENIZER
from hat.model.engine import TorchEngine
from hat.pipeline.models.final import teacher_model
from hat.pipeline.models.teaching import Teacher, lesson_texts, teacher_of
from hat.pipeline.models.training import THREADS, seed_and_threads, train_step
from hat.pipeline.steps.context import Context
from hat.pipeline.steps.results import LABELS, PREPARE, SEQUENCES, STORES, TOKENS
from hat.pipeline.steps.step import Step
from hat.progress import Progress
from hat.recipe.distillation import Distillation
from hat.runtime import EngineSettings, load_engine
from hat.training import write_soft_labels, write_translations
from hat.training.teacher import label_trial
from hat.training.threads import use_threads

# On a processor a float32 teacher translates at int8: some three times faster, at a cost of 0.2 BLEU at most
# (benchmarks/deployed_quality.py).
DECODING_PRECISION = "int8"


def steps(context: Context) -> Iterator[Step]:
    """The teacher's training, where it is a model of this run, then its work; nothing where the recipe has no
    teacher."""
    section = context.recipe.distillation
    if section is None:
        return
    if model := teacher_model(context):
        yield train_step(context, model)
    teacher = teacher_of(context)
    if section.uses_sequences:
        yield _sequences_step(context, teacher, section)
    if section.uses_tokens:
        yield _tokens_step(context, teacher, section)


def _sequences_step(context: Context, teacher: Teacher, section: Distillation) -> Step:
    inputs = {
        "device": context.scoring_device_inputs(context.scoring_engine),
        "distillation": section.model_dump(mode="json", include={"references"}),
        "results": _results(context, teacher),
    }

    def run(folder: Path, progress: Progress) -> None:
        artefact = teacher.load(context)
        engine = context.scoring_engine_for(artefact.config.model.architecture)
        accelerator = context.scoring_accelerator(engine)
        if accelerator == "cpu" and artefact.config.precision == "float32":
            artefact = artefact.at_precision(DECODING_PRECISION)
        with closing(load_engine(engine, artefact, EngineSettings(THREADS, accelerator))) as runner:
            for name in STORES:
                text = TokenStore.open(context.outcome(PREPARE).folder / name)
                write_translations(
                    runner,
                    text,
                    folder=folder / name,
                    options=artefact.config.decode,
                    references=section.references,
                    progress=progress,
                )

    return Step(SEQUENCES, inputs, STORES, run)


def _tokens_step(context: Context, teacher: Teacher, section: Distillation) -> Step:
    results = _results(context, teacher)
    if section.uses_sequences:
        results["teacher's translations"] = context.outcome(SEQUENCES).digest_of(*STORES)
    settings = section.model_dump(mode="json", include={"top_k", "temperature"})

    def run(folder: Path, progress: Progress) -> None:
        seed_and_threads(context.recipe.seed)
        network = TorchEngine(teacher.load(context), EngineSettings(THREADS)).model
        texts = lesson_texts(context)
        use_threads(folder, context.recipe.sub_training.threads, label_trial(network, texts[0]))
        for name, text in zip(LABELS, texts, strict=True):
            write_soft_labels(
                network,
                text,
                folder=folder / name,
                top_k=section.top_k,
                temperature=section.temperature,
                progress=progress,
            )

    return Step(TOKENS, {"distillation": settings, "results": results}, LABELS, run)


def _results(context: Context, teacher: Teacher) -> dict[str, Any]:
    prepared = context.outcome(PREPARE)
    return {"teacher": teacher.digest, "prepared text": prepared.digest_of(*STORES, TOKENIZER)}
