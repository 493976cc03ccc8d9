"""The parts of a line of text that an engine translates, and the line's translation from theirs."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice

from hat.arguments import check_choice
from hat.runtime.decoding import Hypothesis
from hat.runtime.tokenizer import Tokenizer
from hat.runtime.tokenizer.config import SPACE
from hat.runtime.training_lines import TrainingLines
from hat.runtime.translator import long_input as long
from hat.runtime.translator.translation import Decoded, Translation
from hat.runtime.translator.unknown_words import Rest, put_in, take_out, translatable
from hat.tokens import EOS, UNK


@dataclass(frozen=True)
class Part:
    """Some sentences of a line, with the white space around them. `sources`: ids to translate, several if a
    sentence was cut, none if the text comes back unchanged; `spaced`: for each, True if a space is before it.
    `rest`: if words were taken out, the text without them, which is translated."""

    text: str
    sources: Sequence[list[int]] = ()
    spaced: Sequence[bool] = ()
    rest: Rest | None = None

    def written(self, hypotheses: Sequence[Hypothesis], tokenizer: Tokenizer) -> str:
        """The translation, from the hypotheses of `sources`, with the white space around the sentences."""
        if not self.sources:
            return self.text
        text = ""
        for hypothesis, spaced in zip(hypotheses, self.spaced, strict=True):
            more = tokenizer.decode(list(hypothesis.tokens))
            text += f" {more}" if text and more and spaced else more
        text = put_in(text, self.rest) if self.rest else text
        before, after = len(self.text) - len(self.text.lstrip()), len(self.text.rstrip())
        return self.text[:before] + text + self.text[after:]


@dataclass(frozen=True)
class Line:
    """A line in parts; the texts of the parts, joined, are the line."""

    parts: Sequence[Part]

    @property
    def sources(self) -> list[list[int]]:
        """The ids of all parts, for an engine to translate."""
        return [source for part in self.parts for source in part.sources]

    def joined(self, decoded: Sequence[Decoded], tokenizer: Tokenizer) -> Translation:
        """The line's translations, from those of `sources`: the r-th best joins the r-th best of each."""
        if not decoded:
            text = "".join(part.text for part in self.parts)
            return Translation(text, 0.0, tokens=(), parts=0, copied=(text,) if text.strip() else ())
        ranks = list(zip(*(part.hypotheses for part in decoded), strict=False))
        # Pieces without </s>; the tokenizer turns those of each part into text separately.
        pairs = chain.from_iterable(zip(part.tokens, part.token_scores, strict=True) for part in ranks[0])
        best = [(token, score) for token, score in pairs if token != EOS]
        return Translation(
            self._text(ranks[0], tokenizer),
            _score(ranks[0]),
            tokens=tuple(tokenizer.target_pieces([token for token, _ in best])),
            alternatives=tuple((self._text(rank, tokenizer), _score(rank)) for rank in ranks[1:]),
            token_scores=tuple(score for _, score in best),
            milliseconds=sum(part.milliseconds for part in decoded),
            parts=len(decoded),
            cut=any(len(part.sources) > 1 for part in self.parts),
            copied=tuple(text for part in self.parts for text in _copied(part)),
        )

    def _text(self, hypotheses: Sequence[Hypothesis], tokenizer: Tokenizer) -> str:
        left = iter(hypotheses)
        texts = (part.written(list(islice(left, len(part.sources))), tokenizer) for part in self.parts)
        return "".join(texts).strip()


class LineReader:
    """Divides lines, for one model, into parts as long as the lines that it was trained on."""

    def __init__(
        self, tokenizer: Tokenizer, language: str, trained_on: TrainingLines, long_input: str
    ) -> None:
        """`language`: code of the source language. Raises UserError if `long_input` is not in its CHOICES."""
        check_choice("long_input", long_input, long.CHOICES)
        self._tokenizer, self._language = tokenizer, language
        self._trained_on, self._refusing = trained_on, long_input == "refuse"

    def read(self, line: str, where: str, split: bool) -> Line:
        """`line`, without its line end, in parts; in one part unless `split`. Raises UserError naming `where`
        for anything but text, and for a line that is too long and must not be split."""
        tokens = self._tokenizer.encode(line, where)
        if line.endswith("\n"):  # lines from iterating over a file have it
            line = line[:-1].removesuffix("\r")
        most = self._trained_on.source_tokens
        if self._refusing:
            long.check_length([*tokens, EOS], most, where)
        if split:
            texts = long.grouped(line, self._language, self._tokenizer, self._trained_on)
            return Line([self._part(text, most) for text in texts])
        long.check_length([*tokens, EOS], long.MAX_SOURCE_TOKENS, where)
        return Line([self._part(line, long.MAX_SOURCE_TOKENS)])

    def _part(self, text: str, most: int) -> Part:
        tokens, rest = self._tokenizer.encode(text), None
        if UNK in tokens:
            rest = take_out(text.strip(), self._knows)
            tokens = self._tokenizer.encode(rest.text) if rest else []
        if not tokens or not translatable(text):
            return Part(text)
        sources = long.cut(tokens, self._tokenizer, most)
        firsts = self._tokenizer.source_pieces([source[0] for source in sources])
        return Part(text, sources, [piece.startswith(SPACE) for piece in firsts], rest)

    def _knows(self, text: str) -> bool:
        return UNK not in self._tokenizer.encode(text)


def _copied(part: Part) -> tuple[str, ...]:
    if not part.sources:
        return (part.text.strip(),)
    return tuple(unit.text for unit in part.rest.units) if part.rest else ()


def _score(parts: Sequence[Hypothesis]) -> float:
    return sum(part.score for part in parts) / len(parts)
