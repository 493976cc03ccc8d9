"""The treatment of lines that are longer than those that a model was trained on."""

from collections.abc import Sequence
from math import ceil

from hat.errors import UserError
from hat.runtime.tokenizer import Tokenizer
from hat.runtime.tokenizer.config import SPACE
from hat.runtime.training_lines import TrainingLines
from hat.sentences import split_sentences
from hat.tokens import EOS

# The most tokens of a line that is kept whole or scored: attention's cost grows with the square of the
# length, and scoring computes logits over the whole vocabulary for all target tokens at once.
MAX_SOURCE_TOKENS = 8192
MAX_TARGET_TOKENS = 512
CHOICES = ("split", "refuse")
# Places to cut a sentence, the best first: after the end of a clause, after a comma, else before a word.
STOPS = (tuple(".!?;:…。！？；："), tuple(",、，،"))


def check_length(tokens: Sequence[int], most: int, where: str) -> None:
    """Raises UserError naming `where` for more than `most` tokens, </s> included."""
    if len(tokens) > most:
        raise UserError(f"{where}: {len(tokens)} tokens with </s>; the most are {most}")


def grouped(line: str, language: str, tokenizer: Tokenizer, lines: TrainingLines) -> list[str]:
    """`line` in parts with as many sentences as a training line may have; joined, they are `line` again."""
    parts: list[str] = []
    count = length = 0
    for sentence in split_sentences(line, language):
        tokens = len(tokenizer.encode(sentence)) if lines.sentences > 1 else 0
        if count in (0, lines.sentences) or length + tokens >= lines.source_tokens:
            parts.append(sentence)
            count = length = 0
        else:
            parts[-1] += sentence
        count, length = count + 1, length + tokens
    return parts


def cut(tokens: list[int], tokenizer: Tokenizer, most: int) -> list[list[int]]:
    """Source ids in as few parts of similar length as `most` tokens allow, each with its own </s>."""
    parts = []
    while tokens:
        end = len(tokens)
        if end >= most:
            wanted = ceil(end / ceil(end / (most - 1)))
            end = _end(tokenizer.source_pieces(tokens[:most]), wanted)
        parts.append([*tokens[:end], EOS])
        tokens = tokens[end:]
    return parts


def _end(pieces: list[str], wanted: int) -> int:
    """The end of the first part, near `wanted` pieces: after a clause or a comma, else before a word, else
    after exactly `wanted` pieces."""
    words = [at for at in range(1, len(pieces)) if pieces[at].startswith(SPACE)]
    for stops in STOPS:
        ends = [at for at in words if pieces[at - 1].endswith(stops) and 2 * at >= wanted]
        if ends:
            return min(ends, key=lambda at: abs(at - wanted))
    return min((at for at in words if 2 * at >= wanted), key=lambda at: abs(at - wanted), default=wanted)
