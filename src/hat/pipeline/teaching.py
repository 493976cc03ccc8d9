"""What a student gets from its teacher: the results of the distill stage, as the train stage uses them."""

from typing import Any

from hat.data import SoftLabels, TokenStore
from hat.pipeline.context import STORES, Context
from hat.training import Lesson, Lessons

# The steps of the distill stage and what each leaves.
SEQUENCES, TOKENS = "distill/sequences", "distill/tokens"
LABELS = ("train-labels", "valid-labels")


def lesson_inputs(context: Context) -> tuple[dict[str, Any], dict[str, str]]:
    """What of a student's teaching decides its weights: settings, and digests of the teacher's work.

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
    """The text that students learn from, and that by which they are judged meanwhile: with the teacher's
    translations, where it gives them.

    Judged by the references, those who learn from translations seem to get worse while they get better.
    """
    section = context.recipe.distillation
    taught = section and section.uses_sequences
    return context.stores(SEQUENCES if taught else "prepare")


def soft_labels(context: Context, texts: tuple[TokenStore, TokenStore]) -> Lessons | None:
    """The teacher's soft labels of those texts, where it gives them. Raises UserError where damaged."""
    section = context.recipe.distillation
    if section is None or not section.uses_tokens:
        return None
    folder = context.outcome(TOKENS).folder
    taught, judged = (
        Lesson(SoftLabels.open(folder / name, text), section.weight)
        for name, text in zip(LABELS, texts, strict=True)
    )
    return taught, judged
