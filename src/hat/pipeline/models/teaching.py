"""Knowledge distillation in a run: the teacher, and what its students get from it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hat.data import SoftLabels, TokenStore
from hat.errors import UserError
from hat.file_names import CONFIG, TOKENIZER, WEIGHTS
from hat.files import digest
from hat.pipeline.models.final import teacher_model
from hat.pipeline.steps.context import Context
from hat.pipeline.steps.results import ARTEFACT, LABELS, PREPARE, SEQUENCES, STORES, TOKENS
from hat.pipeline.text.tokenizers import tokenizer_config
from hat.runtime import Artefact
from hat.training import Lesson, Lessons


@dataclass(frozen=True)
class Teacher:
    """The folder of the teacher's artefact, and the digest of its content."""

    folder: Path
    digest: str

    def load(self, context: Context) -> Artefact:
        """The artefact. Raises UserError if it is damaged or uses another vocabulary than this run."""
        artefact = Artefact.load(self.folder)
        ours = context.outcome(PREPARE).folder / TOKENIZER
        config, theirs = tokenizer_config(context.recipe.data), artefact.tokenizer_folder
        if (
            theirs is None
            or artefact.config.tokenizer != config
            or not _same(ours, theirs, config.file_names())
        ):
            raise UserError(
                f"distillation: teacher: {self.folder} uses another vocabulary than this run; train it on "
                "the same text with the same data section and seed"
            )
        return artefact


def teacher_of(context: Context) -> Teacher:
    """The teacher that the recipe names. Raises NotFinished until it is trained, where it is a model of this
    run."""
    model, section = teacher_model(context), context.recipe.distillation
    assert section is not None
    if model:
        trained = context.outcome(model.train_step)
        return Teacher(trained.folder / ARTEFACT, trained.digest_of(ARTEFACT))
    content = {path.name: context.text_digest(path) for path in teacher_files(context)}
    return Teacher(Path(section.teacher), digest(content))


def teacher_files(context: Context) -> list[Path]:
    """The files of a teacher that is not a model of this run."""
    section = context.recipe.distillation
    if section is None or not section.is_path:
        return []
    return [Path(section.teacher) / name for name in (CONFIG, WEIGHTS)]


def lesson_inputs(context: Context) -> tuple[dict[str, Any], dict[str, str]]:
    """The settings, and the digests of the teacher's work, that decide a student's weights.

    Both are empty where the recipe has no teacher. Raises NotFinished until that work is done.
    """
    section = context.recipe.distillation
    settings: dict[str, Any] = {}
    results: dict[str, str] = {}
    if section and section.uses_sequences:
        results["teacher's translations"] = context.outcome(SEQUENCES).digest_of(*STORES)
    if section and section.uses_tokens:
        settings["distillation"] = {"weight": section.weight}
        results["teacher's soft labels"] = context.outcome(TOKENS).digest_of(*LABELS)
    return settings, results


def lesson_texts(context: Context) -> tuple[TokenStore, TokenStore]:
    """The training and the validation text of students: with the teacher's translations as their targets,
    where it gives them.

    A student that learns from translations comes closer to these and may move away from the references; by
    the references' loss it would seem to get worse while its translations get better.
    """
    section = context.recipe.distillation
    return context.stores(SEQUENCES if section and section.uses_sequences else PREPARE)


def soft_labels(context: Context, texts: tuple[TokenStore, TokenStore]) -> Lessons | None:
    """The teacher's soft labels of those texts, where it gives them. Raises UserError where damaged."""
    section = context.recipe.distillation
    if section is None or not section.uses_tokens:
        return None
    folder = context.outcome(TOKENS).folder
    train, valid = (
        Lesson(SoftLabels.open(folder / name, text), section.weight)
        for name, text in zip(LABELS, texts, strict=True)
    )
    return train, valid


def _same(one: Path, other: Path, names: Iterable[str]) -> bool:
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)
