"""The tokenizer that a recipe asks for: its learner, and its description in artefacts."""

import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from hat import data
from hat.characters import cleaned
from hat.files import write_text
from hat.lines import write_lines
from hat.recipe.data import Data
from hat.runtime import MosesOptions, TokenizerConfig
from hat.runtime.tokenizer import (
    MOSES_BPE,
    MOSES_DASH,
    LanguageTokenizer,
    Moses,
    load_codes,
    load_moses_bpe,
    missing_package,
    segment,
)


def tokenizer_config(recipe: Data) -> TokenizerConfig:
    """The description of the tokenizer in the artefacts of a run."""
    vocabulary = recipe.vocabulary
    if vocabulary.kind != MOSES_BPE:
        return TokenizerConfig(joint=vocabulary.joint)
    options = MosesOptions(
        recipe.source_language,
        recipe.target_language,
        normalise=True,
        dash=MOSES_DASH if vocabulary.split_dashes else "",
        lowercase=vocabulary.lowercase,
    )
    return TokenizerConfig(MOSES_BPE, vocabulary.joint, options)


@dataclass(frozen=True)
class MosesLearner:
    """Learns Moses + BPE as the published scripts do: one byte-pair encoding of both languages' words,
    and the pieces that occur as dictionaries, the most frequent first."""

    config: TokenizerConfig
    merges: int

    def __call__(
        self, folder: Path, pairs: Iterable[data.Pair], vocabulary: data.Vocabulary
    ) -> data.Tokenizers:
        """Raises UserError without the packages, or where the text is too small for the merges."""
        options = self.config.moses
        assert options is not None
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        moses = [Moses(language, options) for language in (options.source_language, options.target_language)]
        words: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        for pair in pairs:
            for side, sentence in enumerate(pair):
                words[side].update(moses[side].words(cleaned(sentence)))
        *dictionaries, codes = (folder / name for name in self.config.file_names())
        write_text(codes, _learn_merges(words[0] + words[1], self.merges))
        bpe = load_codes(codes)
        sides = [words[0] + words[1]] if self.config.joint else list(words)
        for path, counts in zip(dictionaries, sides, strict=True):
            pieces: Counter[str] = Counter()
            for word, count in counts.items():
                for piece in segment(bpe, [word]):
                    pieces[piece] += count
            ranked = sorted(pieces.items(), key=lambda entry: (-entry[1], entry[0]))
            write_lines(path, (f"{piece} {count}" for piece, count in ranked))
        return data.Tokenizers(*(_Lines(side) for side in load_moses_bpe(folder, self.config, options)))


@dataclass(frozen=True)
class _Lines:
    """One side of the runtime's tokenizer, as training text is cut."""

    side: LanguageTokenizer

    @property
    def size(self) -> int:
        return self.side.size

    def encode(self, lines: Sequence[str], threads: int = 1) -> list[list[int]]:
        return [self.side.encode(line) for line in lines]


def learner(recipe: Data) -> data.Learner:
    """The function that learns the tokenizers of a run."""
    config = tokenizer_config(recipe)
    return data.train_tokenizers if config.moses is None else MosesLearner(config, recipe.vocabulary.size)


def _learn_merges(words: Counter[str], merges: int) -> str:
    try:
        from subword_nmt.learn_bpe import learn_bpe  # noqa: PLC0415 (an optional package)
    except ModuleNotFoundError as error:
        raise missing_package(error) from error
    codes = StringIO()
    listed = StringIO("".join(f"{word} {count}\n" for word, count in sorted(words.items())))
    with redirect_stderr(StringIO()):  # of its progress bar
        learn_bpe(listed, codes, merges, is_dict=True)
    return codes.getvalue()
