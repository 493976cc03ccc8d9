"""What becomes of lines that are longer than a model can take."""

from collections.abc import Sequence

from hat.errors import UserError
from hat.runtime.tokenizer import EOS, SPACE, Tokenizer

# Training saw no longer sentences, and the cost of attention grows with the square.
MAX_SOURCE_TOKENS = 256
# Scoring computes the whole vocabulary's logits for every target token at once.
MAX_TARGET_TOKENS = 512
CHOICES = ("split", "refuse")
SENTENCE_ENDS = tuple(".!?;:…。！？")


def check_choice(long_input: str) -> None:
    """Raises UserError where `long_input` is none of CHOICES."""
    if long_input not in CHOICES:
        raise UserError(f"long_input: {long_input!r}; the choices are {', '.join(CHOICES)}")


def check_length(tokens: Sequence[int], most: int, where: str) -> None:
    """Raises UserError naming `where` for more than `most` tokens, </s> included."""
    if len(tokens) > most:
        raise UserError(f"{where}: {len(tokens)} tokens with </s>; the most are {most}")


def parts_of(tokens: list[int], tokenizer: Tokenizer) -> list[list[int]]:
    """Source ids in parts of at most MAX_SOURCE_TOKENS, each ended by </s>; no part for no ids."""
    parts = []
    while tokens:
        cut = len(tokens)
        if cut >= MAX_SOURCE_TOKENS:
            cut = _cut(tokenizer.source_pieces(tokens[:MAX_SOURCE_TOKENS]))
        parts.append([*tokens[:cut], EOS])
        tokens = tokens[cut:]
    return parts


def _cut(pieces: list[str]) -> int:
    """Where to end the first part: after a sentence, else before a word, else at the limit."""
    words = [at for at in range(1, len(pieces)) if pieces[at].startswith(SPACE)]
    ends = [at for at in words if pieces[at - 1].endswith(SENTENCE_ENDS)]
    return (ends or words or [len(pieces) - 1])[-1]
