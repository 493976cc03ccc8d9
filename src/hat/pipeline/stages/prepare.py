"""prepare: text → vocabulary, token stores, typical lengths."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hat import data
from hat.data.builtin import write_builtin
from hat.pipeline.context import Context
from hat.pipeline.stages.acquire import NAME as ACQUIRE
from hat.pipeline.stages.acquire import TEXT_FILES, acquire_step, acquired_corpora
from hat.pipeline.steps import Step
from hat.pipeline.tokenizers import learner
from hat.pipeline.versions import VERSIONS
from hat.progress import Progress
from hat.recipe.data import CorpusFiles

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
# What only the tokenizer of the published models has.
MOSES_KEYS = {"kind", "split_dashes", "lowercase"}


def steps(context: Context) -> Iterator[Step]:
    """One step, after the download where there is one; the corpus counts by its content, wherever its
    files lie."""
    recipe = context.recipe
    if recipe.data.corpus == "published":
        yield acquire_step(context)

    def run(folder: Path, progress: Progress) -> None:
        report = data.prepare(
            folder,
            _corpora(context, folder, progress),
            vocabulary=recipe.data.vocabulary,
            cleaning=recipe.data.cleaning,
            seed=recipe.seed,
            source_language=recipe.data.source_language,
            learn=learner(recipe.data),
            progress=progress,
        )
        context.say(_unknown(report["unknown"]))

    inputs = {"seed": recipe.seed, "data": _data_inputs(context), **_corpus_inputs(context)}
    yield Step("prepare", inputs, OUTPUTS, run, VERSIONS["prepare"])


def _unknown(sets: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """One line: the share of each set's pieces that the vocabulary does not know."""
    shares = ", ".join(
        f"{name} " + " / ".join(f"{100 * side['share']:.2g}" for side in sides.values())
        for name, sides in sets.items()
    )
    return f"prepare: % of the text unknown to the vocabulary (source / target): {shares}"


def _data_inputs(context: Context) -> dict[str, Any]:
    recipe = context.recipe.data
    moses = recipe.vocabulary.kind == "moses-bpe"
    languages = {"source_language", "target_language"} if moses else {"source_language"}
    inputs = recipe.model_dump(mode="json", include={"corpus", "cleaning", *languages})
    left_out = set() if moses else MOSES_KEYS
    return {**inputs, "vocabulary": recipe.vocabulary.model_dump(mode="json", exclude=left_out)}


def _corpus_inputs(context: Context) -> dict[str, object]:
    recipe = context.recipe
    if recipe.data.corpus == "builtin":
        return {"data.builtin": recipe.data.builtin.model_dump()}
    if recipe.data.corpus == "published":
        acquired = context.outcome(ACQUIRE)
        return {"text": {file: acquired.digest_of(file) for file in TEXT_FILES}}
    digests = {name: context.text_digest(path) for name, path in _files(context).items()}
    columns = {f"data.{name}.columns": getattr(recipe.data, name).columns for name in PARTS}
    return {"text": digests | {key: list(value) for key, value in columns.items() if value is not None}}


def text_files(context: Context) -> list[Path]:
    """The user's text files that the stage reads."""
    return list(_files(context).values()) if context.recipe.data.corpus == "files" else []


def _files(context: Context) -> dict[str, Path]:
    """Key in the recipe → text file."""
    return {
        f"data.{name}.{side}": path
        for name in PARTS
        for side, path in _paths(context, getattr(context.recipe.data, name)).items()
    }


def _paths(context: Context, part: CorpusFiles) -> dict[str, Path]:
    root = Path(context.recipe.data.root)
    return {side: root / Path(name).expanduser() for side, name in part.names().items()}


def _corpora(context: Context, folder: Path, progress: Progress) -> data.Corpora:
    recipe = context.recipe
    if recipe.data.corpus == "builtin":
        return write_builtin(folder / "corpus", recipe.data.builtin, seed=recipe.seed, progress=progress)
    if recipe.data.corpus == "published":
        return acquired_corpora(context.outcome(ACQUIRE))
    return data.Corpora(*((_part(context, getattr(recipe.data, name)),) for name in PARTS))


def _part(context: Context, part: CorpusFiles) -> data.ParallelText:
    source, *target = _paths(context, part).values()
    return data.ParallelText(source, target[0] if target else None, part.columns)
