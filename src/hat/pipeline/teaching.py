"""What a student gets from its teacher: the results of the distill stage, as the train stage uses them."""

from typing import Any

from hat.data import SoftLabels, TokenStore
from hat.pipeline.context import Context
from hat.training import Distillation

# The steps of the distill stage and what each leaves.
SEQUENCES, TOKENS = "distill/sequences", "distill/tokens"
TRANSLATED, LABELS = "train", "labels"


def lesson_inputs(context: Context) -> tuple[dict[str, Any], dict[str, str]]:
    """What of a student's teaching decides its weights: settings, and digests of the teacher's work.

    Both are empty where the recipe has no teacher. Raises NotFinished until that work is done.
    """
    section = context.recipe.distillation
    settings: dict[str, Any] = {}
    results: dict[str, str] = {}
    if section and section.uses_sequences:
        results["teacher's translations"] = context.outcome(SEQUENCES).digest_of(TRANSLATED)
    if section and section.uses_tokens:
        settings["distillation"] = {"weight": section.weight}
        results["teacher's soft labels"] = context.outcome(TOKENS).digest_of(LABELS)
    return settings, results


def training_text(context: Context) -> TokenStore:
    """The text that students learn from: with the teacher's translations, where it gives them."""
    section = context.recipe.distillation
    if section and section.uses_sequences:
        return TokenStore.open(context.outcome(SEQUENCES).folder / TRANSLATED)
    return TokenStore.open(context.outcome("prepare").folder / "train")


def soft_labels(context: Context, text: TokenStore) -> Distillation | None:
    """The teacher's soft labels of that text, where it gives them. Raises UserError where damaged."""
    section = context.recipe.distillation
    if section is None or not section.uses_tokens:
        return None
    return Distillation(SoftLabels.open(context.outcome(TOKENS).folder / LABELS, text), section.weight)
