"""prepare: text → vocabulary, token stores, typical lengths."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from hat import data
from hat.file_names import TOKENIZER
from hat.pipeline.steps.context import Context
from hat.pipeline.steps.results import LENGTHS, PREPARE, PREPARE_REPORT, STORES, TEST, VALIDATION
from hat.pipeline.steps.step import Step
from hat.pipeline.text.acquisition import acquire_step
from hat.pipeline.text.corpus import corpora, data_inputs
from hat.pipeline.text.tokenizers import learner
from hat.progress import Progress

OUTPUTS = (TOKENIZER, *STORES, "test", *VALIDATION, *TEST, LENGTHS, PREPARE_REPORT)


def steps(context: Context) -> Iterator[Step]:
    """One step, after the download where there is one."""
    recipe = context.recipe
    if recipe.data.corpus == "published":
        yield acquire_step(context)
    inputs = {"seed": recipe.seed, **data_inputs(context)}

    def run(folder: Path, progress: Progress) -> None:
        report = data.prepare(
            folder,
            corpora(context, folder, progress),
            vocabulary=recipe.data.vocabulary,
            cleaning=recipe.data.cleaning,
            seed=recipe.seed,
            source_language=recipe.data.source_language,
            learn=learner(recipe.data),
            progress=progress,
        )
        context.say(_unknown(report["unknown"]))

    yield Step(PREPARE, inputs, OUTPUTS, run)


def _unknown(sets: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """One line: the share of each set's pieces that the vocabulary does not know."""
    shares = ", ".join(
        f"{name} " + " / ".join(f"{100 * side['share']:.2g}" for side in sides.values())
        for name, sides in sets.items()
    )
    return f"prepare: % of the text unknown to the vocabulary (source / target): {shares}"
