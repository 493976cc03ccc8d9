"""SentencePiece vocabularies: trained on a bounded sample, the same bytes every time."""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import sentencepiece

from hat.arguments import check_lines
from hat.characters import cleaned, known_joiners
from hat.data.corpus import Pair
from hat.data.settings import Vocabulary
from hat.disk import remove
from hat.errors import HatError, UserError
from hat.files import atomic_path
from hat.tokens import BOS, EOS, PAD, SPECIAL_PIECES, UNK

# Texts that look the same (no-break spaces, decomposed accents, full-width forms, ligatures) get the same
# pieces, at the price that for example "…" is written "..." in translations.
NORMALISATION = "nmt_nfkc"


class SentencePieceTokenizer:
    """One SentencePiece model: text to ids and back."""

    def __init__(self, path: Path) -> None:
        """Load a model file. Raises UserError if it is none, or if its special pieces have other ids."""
        if not path.is_file():
            raise UserError(f"{path}: no such tokenizer model")
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
            pieces = tuple(self._processor.id_to_piece(list(range(len(SPECIAL_PIECES)))))
        except (RuntimeError, OSError, IndexError) as error:
            raise UserError(f"{path}: not a SentencePiece model (damaged or cut short?)") from error
        if pieces != SPECIAL_PIECES:
            special, expected = " ".join(pieces), " ".join(SPECIAL_PIECES)
            raise UserError(f"{path}: special pieces are {special}; expected {expected}")
        self._joiners = known_joiners(lambda joiner: UNK not in self._processor.encode(joiner))

    @property
    def size(self) -> int:
        """Number of pieces, specials included."""
        return int(self._processor.vocab_size())

    def encode(self, lines: Sequence[str], threads: int = 1) -> list[list[int]]:
        """Ids of each line, without <s> and </s>; characters that carry no meaning get no id."""
        check_lines(lines)
        texts = [cleaned(line, self._joiners) for line in lines]
        encoded = self._processor.encode(texts, out_type=int, num_threads=threads)
        return cast(list[list[int]], encoded)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids; special pieces vanish."""
        return str(self._processor.decode([int(i) for i in ids if i not in (BOS, PAD, EOS)]))


class SideTokenizer(Protocol):
    """The tokenizer of one side's text."""

    @property
    def size(self) -> int:
        """Number of pieces, specials included."""

    def encode(self, lines: Sequence[str], threads: int = 1) -> list[list[int]]:
        """Ids of each line, without <s> and </s>."""


@dataclass(frozen=True)
class Tokenizers:
    """The tokenizers of both sides; the same object twice if joint."""

    source: SideTokenizer
    target: SideTokenizer

    @property
    def joint(self) -> bool:
        return self.source is self.target

    @classmethod
    def load(cls, folder: Path) -> "Tokenizers":
        """Load `joint.model`, or `source.model` and `target.model`. Raises UserError."""
        if (folder / "joint.model").exists():
            joint = SentencePieceTokenizer(folder / "joint.model")
            return cls(joint, joint)
        return cls(
            SentencePieceTokenizer(folder / "source.model"), SentencePieceTokenizer(folder / "target.model")
        )


def train_tokenizers(folder: Path, pairs: Iterable[Pair], options: Vocabulary) -> Tokenizers:
    """Learn the vocabularies of `pairs` (already sampled), replacing whatever `folder` holds.

    Writes `joint.model`, or `source.model` and `target.model`; equal pairs and options give equal
    bytes. Raises UserError if the text is too small, or too rich in characters, for the size.
    """
    remove(folder)
    if options.joint:
        sentences = (sentence for pair in pairs for sentence in pair)
        _train(folder / "joint.model", sentences, options)
    else:
        # SentencePiece pulls one side at a time; the sample is bounded, so it may be held.
        sources, targets = zip(*pairs, strict=True)
        _train(folder / "source.model", iter(sources), options)
        _train(folder / "target.model", iter(targets), options)
    return Tokenizers.load(folder)


def sample_pairs(pairs: Iterable[Pair], total: int, sample: int, seed: int) -> Iterator[Pair]:
    """Stream a uniform sample of `sample` out of `total` pairs, in order and in constant memory.

    Selection sampling: Knuth, The Art of Computer Programming, volume 2, algorithm 3.4.2 S.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    wanted, left = min(sample, total), total
    for pair in pairs:
        if not wanted:
            return
        if rng.random() * left < wanted:
            wanted -= 1
            yield pair
        left -= 1


def _train(path: Path, sentences: Iterator[str], options: Vocabulary) -> None:
    model = io.BytesIO()
    guarded = _Guarded(map(cleaned, sentences))
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=guarded,
            model_writer=model,
            model_type="bpe",
            vocab_size=options.size,
            character_coverage=1.0,
            normalization_rule_name=NORMALISATION,
            byte_fallback=False,
            bos_id=BOS,
            pad_id=PAD,
            eos_id=EOS,
            unk_id=UNK,
            num_threads=1,  # recorded in the model: another number gives other bytes
            minloglevel=2,
        )
    except RuntimeError as error:
        if guarded.failure:
            raise guarded.failure from None
        raise _training_error(path.stem, str(error), options.size) from error
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.getvalue())


class _Guarded:
    """An iterator that keeps the exception that stopped it (a UserError, Ctrl-C): SentencePiece turns it into
    text."""

    def __init__(self, sentences: Iterator[str]) -> None:
        self._sentences = sentences
        self.failure: BaseException | None = None

    def __iter__(self) -> "_Guarded":
        return self

    def __next__(self) -> str:
        try:
            return next(self._sentences)
        except StopIteration:
            raise
        except BaseException as error:
            self.failure = error
            raise


def _training_error(side: str, message: str, size: int) -> HatError:
    """The error for SentencePiece's message about the vocabulary of one side."""
    if match := re.search(r"too high.*<= (\d+)", message, re.DOTALL):
        limit = f"too large for this text; the largest possible is {match[1]}"
    elif match := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        limit = f"too small for the characters of this text; at least {match[1]} is needed"
    elif "sentences_.empty()" in message:
        return UserError(f"vocabulary ({side}): no sentence of at most 4192 bytes to learn from")
    else:
        return HatError(f"vocabulary ({side}): SentencePiece failed: {' '.join(message.split())}")
    return UserError(f"vocabulary ({side}): size {size} is {limit}")
