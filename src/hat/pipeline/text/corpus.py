"""The text of a run: the user's files, the built-in corpus or a published one."""

from pathlib import Path
from typing import Any

from hat import data
from hat.data.builtin import write_builtin
from hat.pipeline.steps.context import Context
from hat.pipeline.steps.results import ACQUIRE
from hat.pipeline.text.acquisition import TEXT_FILES, acquired_corpora
from hat.progress import Progress
from hat.recipe.data import CorpusFiles

SETS = ("train", "valid", "test")
# Settings of the published models' tokenizer alone.
MOSES_KEYS = {"kind", "split_dashes", "lowercase"}


def data_inputs(context: Context) -> dict[str, Any]:
    """The settings and the text that decide what is prepared; the corpus counts by its content, wherever its
    files lie."""
    section = context.recipe.data
    moses = section.vocabulary.kind == "moses-bpe"
    languages = {"source_language", "target_language"} if moses else {"source_language"}
    settings = section.model_dump(mode="json", include={"corpus", "cleaning", *languages})
    vocabulary = section.vocabulary.model_dump(mode="json", exclude=set() if moses else MOSES_KEYS)
    return {"data": {**settings, "vocabulary": vocabulary}, **_corpus_inputs(context)}


def _corpus_inputs(context: Context) -> dict[str, object]:
    section = context.recipe.data
    if section.corpus == "builtin":
        return {"data.builtin": section.builtin.model_dump()}
    if section.corpus == "published":
        acquired = context.outcome(ACQUIRE)
        return {"text": {file: acquired.digest_of(file) for file in TEXT_FILES}}
    digests = {name: context.text_digest(path) for name, path in _files(context).items()}
    columns = {f"data.{name}.columns": getattr(section, name).columns for name in SETS}
    return {"text": digests | {key: list(value) for key, value in columns.items() if value is not None}}


def text_files(context: Context) -> list[Path]:
    """The user's text files that the run reads."""
    return list(_files(context).values()) if context.recipe.data.corpus == "files" else []


def _files(context: Context) -> dict[str, Path]:
    """Key in the recipe → text file."""
    return {
        f"data.{name}.{side}": path
        for name in SETS
        for side, path in _paths(context, getattr(context.recipe.data, name)).items()
    }


def _paths(context: Context, files: CorpusFiles) -> dict[str, Path]:
    root = Path(context.recipe.data.root)
    return {side: root / Path(name).expanduser() for side, name in files.names().items()}


def corpora(context: Context, folder: Path, progress: Progress) -> data.Corpora:
    """The text of all sets; that of the built-in corpus is written below `folder`."""
    section = context.recipe.data
    if section.corpus == "builtin":
        return write_builtin(folder / "corpus", section.builtin, seed=context.recipe.seed, progress=progress)
    if section.corpus == "published":
        return acquired_corpora(context.outcome(ACQUIRE))
    return data.Corpora(*((_part(context, getattr(section, name)),) for name in SETS))


def _part(context: Context, files: CorpusFiles) -> data.ParallelText:
    source, *target = _paths(context, files).values()
    return data.ParallelText(source, target[0] if target else None, files.columns)
