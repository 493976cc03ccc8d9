"""prepare: text → vocabulary, token stores, typical lengths."""

from collections.abc import Iterator
from pathlib import Path

from hat import data
from hat.data.builtin import write_builtin
from hat.pipeline.context import Context
from hat.pipeline.recipe import Part
from hat.pipeline.steps import Step
from hat.progress import Progress

OUTPUTS = (
    "tokenizer",
    "train",
    "valid",
    "test",
    "valid.source.txt",
    "valid.target.txt",
    "test.source.txt",
    "test.target.txt",
    "lengths.json",
    "report.json",
)
PARTS = ("train", "valid", "test")


def steps(context: Context) -> Iterator[Step]:
    """One step; the corpus counts by its content, wherever its files lie."""
    recipe = context.recipe

    def run(folder: Path, progress: Progress) -> None:
        data.prepare(
            folder,
            _corpora(context, folder, progress),
            vocabulary=data.Vocabulary(**recipe.data.vocabulary.model_dump()),
            cleaning=data.Cleaning(**recipe.data.cleaning.model_dump()),
            seed=recipe.seed,
            progress=progress,
        )

    inputs = {
        "seed": recipe.seed,
        "data": recipe.data.model_dump(mode="json", include={"corpus", "vocabulary", "cleaning"}),
        **_corpus_inputs(context),
    }
    yield Step("prepare", inputs, OUTPUTS, run)


def _corpus_inputs(context: Context) -> dict[str, object]:
    recipe = context.recipe
    if recipe.data.corpus == "builtin":
        return {"data.builtin": recipe.data.builtin.model_dump()}
    digests = {
        f"data.{name}.{side}": context.text_digest(path)
        for name in PARTS
        for side, path in _paths(context, getattr(recipe.data, name)).items()
    }
    return {"text": digests}


def _paths(context: Context, part: Part) -> dict[str, Path]:
    root = Path(context.recipe.data.root)
    return {side: root / Path(name).expanduser() for side, name in part.names().items()}


def _corpora(context: Context, folder: Path, progress: Progress) -> data.Corpora:
    recipe = context.recipe
    if recipe.data.corpus == "builtin":
        sizes = recipe.data.builtin
        return write_builtin(
            folder / "corpus", sizes.train, sizes.valid, sizes.test, recipe.seed, progress=progress
        )
    parts = [data.Part(*_paths(context, getattr(recipe.data, name)).values()) for name in PARTS]
    return data.Corpora(*((part,) for part in parts))
