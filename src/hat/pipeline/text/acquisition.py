"""The download of a published corpus, and its text as plain files: the first step of `prepare`."""

import re
import shutil
from functools import partial
from pathlib import Path

from hat import data
from hat.data.acquire import Places, RemoteFile, fetch, mirrors_of_environment
from hat.data.archive import extract, is_archive
from hat.data.raw_text import SETS, RawText, set_files, write_sets
from hat.files import write_json
from hat.pipeline.steps.context import Context
from hat.pipeline.steps.results import ACQUIRE
from hat.pipeline.steps.step import Outcome, Step
from hat.progress import Progress, between
from hat.recipe.data import Acquire, Extract

TEXT_FILES = tuple(file for name in SETS for file in set_files(name))
COUNTS = "pairs.json"
# Shares of the progress bar: downloading, unpacking, writing the text.
FETCHED, UNPACKED = 0.7, 0.85


def acquire_step(context: Context) -> Step:
    """The step; its text depends on what is fetched, not on where from."""
    recipe = context.recipe.data
    assert recipe.acquire is not None
    inputs = {"data": recipe.model_dump(mode="json", include={"acquire"}, exclude_none=True)}
    run = partial(_run, context, recipe.acquire)
    return Step(ACQUIRE, inputs, (*TEXT_FILES, COUNTS), run)


def acquired_corpora(outcome: Outcome) -> data.Corpora:
    """The text of a finished step."""
    sides = ([outcome.folder / file for file in set_files(name)] for name in SETS)
    return data.Corpora(*((data.ParallelText(source, target),) for source, target in sides))


def _run(context: Context, acquire: Acquire, folder: Path, progress: Progress) -> None:
    archives = _fetch(context, acquire, between(progress, 0, FETCHED, "fetching "))
    work = folder / ".work"
    if work.exists():  # from a process that was killed
        shutil.rmtree(work)
    try:
        files = _unpack(acquire, archives, work, between(progress, FETCHED, UNPACKED, "unpacking "))
        sets = {
            name: [_raw_text(text, files) for text in getattr(acquire, name)]
            for name in SETS
            if getattr(acquire, name)
        }
        reading = between(progress, UNPACKED, 1, "reading ")
        counts = write_sets(folder, sets, valid_every=acquire.valid_every, progress=reading, say=context.say)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    write_json(folder / COUNTS, counts)


def _fetch(context: Context, acquire: Acquire, progress: Progress) -> dict[str, Path]:
    recipe = context.recipe.data
    offline = None if recipe.offline is None else Path(recipe.offline)
    places = Places(
        Path(recipe.cache), (*mirrors_of_environment(), *recipe.mirrors), offline, say=context.say
    )
    fetched = {}
    for index, entry in enumerate(acquire.archives):
        archive = RemoteFile(entry.file_name, entry.url, entry.sha256, entry.size)
        count = len(acquire.archives)
        fetched[archive.name] = fetch(archive, places, between(progress, index / count, (index + 1) / count))
    return fetched


def _unpack(
    acquire: Acquire, archives: dict[str, Path], work: Path, progress: Progress
) -> dict[tuple[str, str], Path]:
    """(Archive, member) → file, for all that is needed."""
    files: dict[tuple[str, str], Path] = {}
    for index, (name, path) in enumerate(archives.items()):
        texts = [text for kind in SETS for text in getattr(acquire, kind) if text.archive == name]
        members = sorted({member for text in texts for member in text.members()})
        if not is_archive(path):
            files |= {(name, member): path for member in members}
            continue
        # Numbered, so that no member's name decides its path; the name is kept for messages.
        wanted = {
            member: work / f"{index}-{number}-{re.sub(r'[^A-Za-z0-9._-]', '_', member)[-100:]}"
            for number, member in enumerate(members)
        }
        done = between(progress, index / len(archives), (index + 1) / len(archives))
        extract(path, wanted, done)
        files |= {(name, member): to for member, to in wanted.items()}
    return files


def _raw_text(text: Extract, files: dict[tuple[str, str], Path]) -> RawText:
    source, *target = (files[text.archive, member] for member in text.members())
    return RawText(source, target[0] if target else None, text.columns, text.markup)
