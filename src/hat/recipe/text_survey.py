"""The facts about a text that a first recipe needs, and the sets held out of it for validation and test."""

import hashlib
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from hat.data import Pair, ParallelText, read_pairs
from hat.errors import UserError
from hat.lines import line_writer
from hat.progress import Progress, silent

# Fewer sentence pairs leave nothing to learn from and nothing to hold out.
FEWEST_PAIRS = 200
# Each set gets a twentieth of the text, up to this many pairs: more hardly narrow the interval of BLEU.
HELD_OUT_SHARE, HELD_OUT_MOST = 0.05, 1000
# Words are counted in so many lines; more would only fill memory, as a vocabulary is learnt from fewer.
WORDS_OF_LINES = 100_000


@dataclass(frozen=True)
class Survey:
    """`pairs`: the number with text on both sides; `words`: the mean per sentence, of the longer side;
    `distinct_words` and `characters`: those of both sides in the first WORDS_OF_LINES lines."""

    pairs: int
    words: float
    distinct_words: int
    characters: int


def survey(part: ParallelText, progress: Progress = silent) -> Survey:
    """Read the whole text once. Raises UserError for text that `read_pairs` refuses, and for too little
    text."""
    pairs = length = 0
    vocabulary: set[str] = set()
    for source, target in read_pairs([part], progress=progress):
        if not (source and target):
            continue
        pairs += 1
        left, right = source.split(), target.split()
        length += max(len(left), len(right))
        if pairs <= WORDS_OF_LINES:
            vocabulary.update(left, right)
    if pairs < FEWEST_PAIRS:
        raise UserError(
            f"{part.source}: {pairs} sentence pairs with text on both sides; at least {FEWEST_PAIRS} needed"
        )
    return Survey(pairs, length / pairs, len(vocabulary), len(set("".join(vocabulary))))


def hold_out(
    part: ParallelText, missing: Iterable[str], pairs: int, names: dict[str, tuple[Path, Path]]
) -> None:
    """Divide the text into disjoint sets and write them: some pairs for each of `missing` ("valid", "test"),
    the others as "train". `names`: the two files of each set.

    A pair's set depends only on its source sentence, so that no test sentence is in the training text, and
    the same text is always divided alike. Raises UserError if a set would be empty, or the folder of these
    files holds other ones.
    """
    folder = names["train"][0].parent
    expected = {path.name for files in names.values() for path in files}
    if folder.exists() and (other := {path.name for path in folder.iterdir()} - expected):
        raise UserError(f"{folder}: holds other files, such as {min(other)}; give the recipe another name")
    try:
        _write_sets(part, [*missing, "train"], pairs, names)
    except BaseException:
        with suppress(OSError):  # not if it held files before
            folder.rmdir()
        raise


def _write_sets(part: ParallelText, sets: list[str], pairs: int, names: dict[str, tuple[Path, Path]]) -> None:
    share = min(HELD_OUT_SHARE, HELD_OUT_MOST / pairs)
    counts = dict.fromkeys(sets, 0)
    with ExitStack() as stack:
        writers = {name: [stack.enter_context(line_writer(path)) for path in names[name]] for name in sets}
        for pair in read_pairs([part]):
            if all(pair):
                name = sets[min(int(_place(pair, pairs) / share), len(sets) - 1)]
                counts[name] += 1
                for write, sentence in zip(writers[name], pair, strict=True):
                    write(sentence)
        if empty := [name for name, count in counts.items() if not count]:
            raise UserError(
                f"{part.source}: too few different sentences to take a {empty[0]} set from; name files for it"
            )


def _place(pair: Pair, pairs: int) -> float:
    """A number from 0 to 1 that depends on the source sentence, and on the number of pairs: the text may be
    the rest of an earlier division, and is divided independently of that."""
    hashed = hashlib.blake2b(pair[0].encode(), digest_size=8, salt=pairs.to_bytes(8))
    return int.from_bytes(hashed.digest()) / 2**64
