"""The data section of a recipe: the parallel text, and how it becomes tokens."""

import re
from typing import Literal

from pydantic import Field, model_validator

from hat.data.settings import BuiltinSizes, Cleaning, Vocabulary
from hat.errors import shown
from hat.recipe.names import NAME
from hat.recipe.paths import RecipePath
from hat.sections import Section


def check_files(files: "CorpusFiles | Extract") -> None:
    """Raises ValueError unless these are two files, or a TSV with two different columns."""
    pair = files.source is not None and files.target is not None
    if pair == (files.tsv is not None) or (files.source is None) != (files.target is None):
        raise ValueError("give either source and target, or tsv")
    if files.columns and (min(files.columns) < 1 or files.columns[0] == files.columns[1]):
        raise ValueError(f"columns: {list(files.columns)} are not two different ones, counted from 1")


class CorpusFiles(Section):
    """One part of the corpus: either two line-aligned files or one TSV file."""

    source: str | None = None
    """Text in the source language, one sentence a line; plain, or compressed with gzip, bzip2, xz or zstd."""
    target: str | None = None
    """Its translation, line by line."""
    tsv: str | None = None
    """Instead of both: one file with source, a tab, and target on each line."""
    columns: tuple[int, int] | None = None
    """The columns of a `tsv` that hold source and target, counted from 1, such as `[1, 2]`."""

    @model_validator(mode="after")
    def _check_choice(self) -> "CorpusFiles":
        check_files(self)
        if self.columns and self.tsv is None:
            raise ValueError("columns: only a tsv has them")
        return self

    def names(self) -> dict[str, str]:
        """The files as written in the recipe: source and target, or one TSV."""
        return self.model_dump(exclude={"columns"}, exclude_none=True)


class Archive(Section):
    """A file of a published corpus: tar, zip, or text, perhaps compressed."""

    url: str
    """The URL (http or https) of its publisher, tried after the mirrors. Files that come over http are not
    vouched for, as a warning says, unless there is a `sha256`."""
    name: str | None = None
    """Its name in the cache, on mirrors and in an offline folder; the last part of the URL."""
    sha256: str | None = None
    """Its checksum; where there is none, that of the first download counts."""
    size: int | None = Field(default=None, gt=0)
    """Its bytes, where they are known."""

    @model_validator(mode="after")
    def _check_url(self) -> "Archive":
        if not re.fullmatch(r"https?://[^\s/]+/\S*[^\s/]", self.url):
            raise ValueError(f"url: {shown(self.url)} does not name a file on an http(s) server")
        if not NAME.fullmatch(self.file_name):
            raise ValueError(f"name: {shown(self.file_name)} cannot name a file; give it another")
        return self

    @property
    def file_name(self) -> str:
        """Its name in folders."""
        return self.name or self.url.rsplit("/", maxsplit=1)[-1]


class Extract(Section):
    """Parallel text within an archive: two of its files, or one TSV."""

    archive: str
    """The archive's name (an archive that is text itself has no members to name)."""
    source: str | None = None
    """The member with the source language's text."""
    target: str | None = None
    """The member with the target language's."""
    tsv: str | None = None
    """Instead of both: a member with tabs between its columns, or the archive itself."""
    columns: tuple[int, int] = (1, 2)
    """Columns of a TSV that hold source and target, from 1."""
    markup: Literal["none", "segments", "tags"] = "none"
    """`segments`: sentences in <seg>, as in WMT's and IWSLT's test sets; `tags`: IWSLT's training text."""

    @model_validator(mode="after")
    def _check_choice(self) -> "Extract":
        check_files(self)
        return self

    def members(self) -> list[str]:
        """The files in the archive that it needs, source first."""
        return [name for name in (self.source, self.target, self.tsv) if name is not None]


class Acquire(Section):
    """A published corpus: the files that hold it, and their parts for training, validation and test."""

    archives: list[Archive] = Field(min_length=1)
    """The files to get."""
    train: list[Extract] = Field(min_length=1)
    """Training text, one part after the other."""
    valid: list[Extract] = Field(default=[])
    """Validation text, unless `valid_every` takes it from the training text."""
    test: list[Extract] = Field(min_length=1)
    """Test text."""
    valid_every: int | None = Field(default=None, gt=1)
    """Every k-th pair of the training text goes to the validation text instead; this is k."""

    @model_validator(mode="after")
    def _check_archives(self) -> "Acquire":
        names = [archive.file_name for archive in self.archives]
        for extract in (*self.train, *self.valid, *self.test):
            if extract.archive not in names:
                raise ValueError(
                    f"no archive is called {shown(extract.archive)}; there are {', '.join(names)}"
                )
        if len(set(names)) < len(names):
            raise ValueError("archives: two of one name")
        if bool(self.valid) == (self.valid_every is not None):
            raise ValueError("give either valid or valid_every")
        return self


class Data(Section):
    """The parallel text."""

    corpus: Literal["files", "builtin", "published"] = "files"
    """`files`: those named below; `builtin`: the built-in English–German generator; `published`: what
    `acquire` names."""
    root: RecipePath = "."
    """Folder the file names are relative to; itself relative to the recipe's folder. `~` and `$NAME`
    are expanded."""
    source_language: str = "en"
    """Code of the source language, for file names and records."""
    target_language: str = "de"
    """Code of the target language."""
    train: CorpusFiles | None = None
    """Training text (`files` only)."""
    valid: CorpusFiles | None = None
    """Validation text: decides checkpoints, early stopping and the search's loss (`files` only)."""
    test: CorpusFiles | None = None
    """Test text: only scored, never chosen by (`files` only)."""
    builtin: BuiltinSizes = BuiltinSizes()
    """Sizes of the built-in corpus (`builtin` only)."""
    acquire: Acquire | None = None
    """The corpus to download (`published` only)."""
    mirrors: list[str] = Field(default=[])
    """URLs of folders that hold the archives under their names; asked after those that the environment
    variable HAT_MIRRORS names, and before the archives' own URLs (`published` only)."""
    offline: RecipePath | None = None
    """A folder that holds the archives: then nothing is downloaded (`published` only). Relative to the
    recipe's folder."""
    cache: RecipePath = "~/.cache/hat"
    """The folder for downloads, shared between runs (`published` only). Relative to the recipe's folder."""
    vocabulary: Vocabulary = Vocabulary()
    """The tokens that text becomes."""
    cleaning: Cleaning = Cleaning()
    """The training pairs that are left out."""

    @model_validator(mode="after")
    def _check_parts(self) -> "Data":
        missing = [name for name in ("train", "valid", "test") if getattr(self, name) is None]
        if self.corpus == "files" and missing:
            raise ValueError(
                f"corpus files needs {', '.join(missing)}: {{source: …, target: …}} or {{tsv: …}}"
            )
        if self.corpus == "published" and self.acquire is None:
            raise ValueError("corpus published needs acquire: {archives: …, train: …, test: …}")
        return self
