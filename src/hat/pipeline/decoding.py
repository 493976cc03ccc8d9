"""Translating a whole text with a finished model, and the length penalty that suits the model."""

from collections.abc import Sequence

from hat.evaluation import score
from hat.progress import Progress
from hat.runtime import Translator

CHUNK_BATCHES = 8
# The paper's 0.6 and what BLEU of Multi30k's validation text was best with: 1.0 to 2.0.
LENGTH_PENALTIES = (0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0)


def translate_all(
    translator: Translator,
    sources: Sequence[str],
    batch: int,
    progress: Progress,
    *,
    length_penalty: float | None = None,
    note: str = "test sentences translated",
) -> list[str]:
    """Translations of all lines, in their order; None: the model's own length penalty."""
    chunk = batch * CHUNK_BATCHES
    translated: list[str] = []
    for start in range(0, len(sources), chunk):
        progress(start, len(sources), note)
        some = translator.translate(
            sources[start : start + chunk], length_penalty=length_penalty, batch=batch
        )
        translated += map(str, some)
    return translated


def best_length_penalty(
    translator: Translator, sources: Sequence[str], references: Sequence[str], batch: int, progress: Progress
) -> float:
    """The one of LENGTH_PENALTIES with which the translations have the most BLEU; of equals the least."""

    def bleu(penalty: float) -> float:
        note = f"validation sentences translated, length penalty {penalty}"
        translated = translate_all(translator, sources, batch, progress, length_penalty=penalty, note=note)
        return score(translated, references).bleu

    return max(LENGTH_PENALTIES, key=bleu)
