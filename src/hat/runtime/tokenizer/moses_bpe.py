"""Moses tokenisation and byte-pair encoding: the tokenizer of the published models.

Needs sacremoses and subword-nmt, which models with a SentencePiece tokenizer do without.
"""

from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from hat.characters import cleaned, known_joiners
from hat.errors import UserError, shown
from hat.lines import read_lines
from hat.runtime.tokenizer.config import MOSES_DASH, SPACE, MosesOptions, TokenizerConfig
from hat.tokens import EOS, SPECIAL_PIECES, UNK

if TYPE_CHECKING:
    from subword_nmt.apply_bpe import BPE

CONTINUED = "@@"  # ends a piece that the same word's next piece follows
VERSIONS = ("#version: 0.1", "#version: 0.2")
# The encoder remembers every word it has encoded; beyond this many it forgets them all.
MOST_REMEMBERED = 1 << 19


def load_moses_bpe(
    folder: Path, config: TokenizerConfig, options: MosesOptions
) -> tuple["MosesBpe", "MosesBpe"]:
    """The tokenizers of source and target language. Raises UserError for missing packages and bad files."""
    *dictionaries, codes = (folder / name for name in config.file_names())
    codec = load_codes(codes)
    pieces = [read_dictionary(path) for path in dictionaries]
    source, target = (Moses(code, options) for code in (options.source_language, options.target_language))
    return MosesBpe(source, codec, pieces[0]), MosesBpe(target, codec, pieces[-1])


def read_dictionary(path: Path) -> list[str]:
    """The pieces by id: four special ones, then one per line of "piece count". Raises UserError naming the
    line that is not like that, or repeats a piece."""
    pieces = dict.fromkeys(SPECIAL_PIECES)
    for number, line in enumerate(_filled_lines(path), 1):
        piece, _, count = line.rpartition(" ")
        if not piece or not count.isdecimal():
            raise UserError(f"{path}:{number}: {shown(line)} is not a piece, a space and its count")
        if piece in pieces:
            raise UserError(f"{path}:{number}: {shown(piece)} is there twice")
        pieces[piece] = None
    return list(pieces)


def load_codes(path: Path) -> "BPE":
    """The merges that subword-nmt learnt. Raises UserError naming a damaged line or the missing package."""
    lines = _filled_lines(path)
    first = 1 if lines[0].startswith("#version") else 0
    if first and lines[0].strip() not in VERSIONS:
        raise UserError(f"{path}:1: {shown(lines[0])}; the versions known are 0.1 and 0.2")
    # Checked here: subword-nmt ends the process where a line has not two parts.
    for number, line in enumerate(lines[first:], first + 1):
        if len(line.strip(" ").split(" ")) != 2:
            raise UserError(f"{path}:{number}: {shown(line)} is not a merge of two pieces")
    try:
        from subword_nmt.apply_bpe import BPE  # noqa: PLC0415 (an optional package)
    except ModuleNotFoundError as error:
        raise missing_package(error) from error
    return BPE(StringIO("".join(f"{line}\n" for line in lines)))


def _filled_lines(path: Path) -> list[str]:
    """The lines of a file without blank ones at its end, but at least one line."""
    lines = read_lines(path) or [""]
    while len(lines) > 1 and not lines[-1].strip():
        lines.pop()
    return lines


class Moses:
    """From text of one language to the words that byte-pair encoding cuts into pieces, and back."""

    def __init__(self, language: str, options: MosesOptions) -> None:
        """Raises UserError without sacremoses, which treats languages that it does not know as English."""
        try:
            import sacremoses  # noqa: PLC0415 (an optional package)
        except ModuleNotFoundError as error:
            raise missing_package(error) from error
        self._options = options
        self._normaliser = sacremoses.MosesPunctNormalizer(lang=language, post_remove_control_chars=True)
        self._tokenizer = sacremoses.MosesTokenizer(lang=language)
        self._detokenizer = sacremoses.MosesDetokenizer(lang=language)

    def words(self, text: str) -> list[str]:
        """The words of one sentence, as in the training text."""
        options = self._options
        if options.normalise:
            text = self._normaliser.normalize(text)
        text = self._tokenizer.tokenize(text, aggressive_dash_splits=bool(options.dash), return_str=True)
        if options.lowercase:
            text = text.lower()
        words = text.split()
        return [options.dash if word == MOSES_DASH else word for word in words] if options.dash else words

    def text(self, words: list[str]) -> str:
        """The sentence made of `words`."""
        dash = self._options.dash
        return str(self._detokenizer.detokenize([MOSES_DASH if word == dash else word for word in words]))


class MosesBpe:
    """The tokenizer of one language: Moses, byte-pair encoding, and a dictionary from pieces to ids."""

    def __init__(self, moses: Moses, codes: "BPE", pieces: list[str]) -> None:
        self._moses, self._codes, self._pieces = moses, codes, pieces
        self._ids = {piece: index for index, piece in enumerate(pieces)}
        self._joiners = known_joiners(lambda joiner: UNK not in self._encode(joiner))

    @property
    def size(self) -> int:
        return len(self._pieces)

    def encode(self, text: str) -> list[int]:
        return self._encode(cleaned(text, self._joiners))

    def _encode(self, text: str) -> list[int]:
        return [self._ids.get(piece, UNK) for piece in segment(self._codes, self._moses.words(text))]

    def pieces(self, tokens: list[int]) -> list[str]:
        marked, inside = [], False
        for token in tokens:
            piece = self._pieces[token]
            mark = "" if inside or token <= EOS else SPACE
            inside = token > EOS and piece.endswith(CONTINUED)
            marked.append(mark + (piece.removesuffix(CONTINUED) if inside else piece))
        return marked

    def decode(self, tokens: list[int]) -> str:
        joined = " ".join(self._pieces[token] for token in tokens)
        # Like the published scripts, which remove CONTINUED at the end of a sentence too.
        words = f"{joined} ".replace(f"{CONTINUED} ", "").split()
        return self._moses.text(words)


def segment(codes: "BPE", words: list[str]) -> list[str]:
    """The pieces of words; all but a word's last one end in CONTINUED."""
    if len(codes.cache) > MOST_REMEMBERED:
        codes.cache.clear()
    return list(codes.segment_tokens(words))


def missing_package(error: ModuleNotFoundError) -> UserError:
    """The error for a package of this tokenizer that is not installed."""
    return UserError(
        f"this model's Moses + BPE tokenizer needs {error.name}, which is not installed: "
        "pip install sacremoses subword-nmt"
    )
