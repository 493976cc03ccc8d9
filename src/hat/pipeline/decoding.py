"""Translating a whole text with a finished model, and the length penalty that suits the model."""

from collections.abc import Sequence

from hat.evaluation import score
from hat.progress import Progress, between
from hat.runtime import Translator

CHUNK_BATCHES = 8
# From the paper's 0.6 on. Trained models of Multi30k are best with 1.2 to 2.
LENGTH_PENALTIES = (0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0)


def translate_all(
    translator: Translator,
    sources: Sequence[str],
    batch: int,
    progress: Progress,
    length_penalty: float | None = None,
) -> list[str]:
    """Translations of all lines, in their order; None: with the model's own length penalty."""
    chunk = batch * CHUNK_BATCHES
    translated: list[str] = []
    for start in range(0, len(sources), chunk):
        progress(start, len(sources), "sentences translated")
        some = translator.translate(
            sources[start : start + chunk], length_penalty=length_penalty, batch=batch
        )
        translated += map(str, some)
    return translated


def best_length_penalty(
    translator: Translator, sources: Sequence[str], references: Sequence[str], batch: int, progress: Progress
) -> float:
    """The one of LENGTH_PENALTIES with which the translations have the most BLEU; of equals the least."""
    count, bleu = len(LENGTH_PENALTIES), {}
    for number, penalty in enumerate(LENGTH_PENALTIES):
        part = between(progress, number / count, (number + 1) / count, f"length penalty {penalty}: ")
        bleu[penalty] = score(translate_all(translator, sources, batch, part, penalty), references).bleu
    return max(bleu, key=bleu.__getitem__)
