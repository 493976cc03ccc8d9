"""A Moses + BPE tokenizer learnt from a few sentences, in the published files' formats."""

from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import pytest

from hat.runtime import MosesOptions
from hat.runtime.tokenizer import Moses, load_codes, segment

LINES = (
    "The well-known dog isn't asleep (yet).",
    'A cat says "no" & runs; the dog runs, too.',
    "The old house & its tree cost 1,000.50 dollars.",
)


def train_bpe(
    folder: Path,
    names: Sequence[str] = ("joint.dict.txt",),
    options: MosesOptions | None = None,
    merges: int = 20,
    size: int | None = None,
) -> None:
    """Write codes.bpe and equal dictionaries; `size`: with filler entries, ids in all."""
    pytest.importorskip("sacremoses")
    learn_bpe = pytest.importorskip("subword_nmt.learn_bpe").learn_bpe
    moses = Moses("en", options or MosesOptions())
    words = [moses.words(line) for line in LINES]
    codes = StringIO()
    # Few merges, so that single letters stay pieces.
    with redirect_stderr(StringIO()):  # its progress bar
        learn_bpe(StringIO("\n".join(map(" ".join, words))), codes, merges, min_frequency=1)
    (folder / "codes.bpe").write_text(codes.getvalue())
    counts = Counter(piece for line in words for piece in segment(load_codes(folder / "codes.bpe"), line))
    lines = [f"{piece} {count}" for piece, count in counts.most_common()]
    if size is not None:
        assert size - 4 >= len(lines)
        lines += [f"madeupword{n:04} 0" for n in range(size - 4 - len(lines))]
    for name in names:
        (folder / name).write_text("\n".join(lines) + "\n")
