"""Words that a model's vocabulary cannot write: taken out of a sentence, and put into its translation.

A model has learnt nothing about <unk>: an <unk> in the source changes the translation of the rest, and its
word is lost. A word's place in the translation follows from the number of words before it, which is right at
both ends of a sentence and about right between them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from itertools import product

import regex

# Scripts without spaces between words: each character, with its marks, counts as a word.
_APART = r"[\p{Ideographic}\p{Hiragana}\p{Katakana}\p{Line_Break=SA}]"
RUN = regex.compile(rf"{_APART}\p{{M}}*|(?:(?!{_APART})\S)+")
TO_LAST_LETTER = regex.compile(r".*[\w\p{M}]", regex.DOTALL)
CHARACTER = regex.compile(r"\X")
# Characters that do not belong to a word if they are before or after it: the word is translated without them.
EDGE = regex.compile(r"[\p{P}\p{So}\p{Extended_Pictographic}--\p{N}]", regex.V1)
# Characters inside a word that have several forms of the same meaning.
APOSTROPHES, DASHES = "'’", "-‐–"
DASH = regex.compile(r"\p{Dash}")
INNER = regex.compile(r"(?<=\w)(?:\p{Dash}|['‘’ʼ])(?=\w)")
LETTER, LETTER_OR_DIGIT = regex.compile(r"\p{L}"), regex.compile(r"[\p{L}\p{N}]")
# The last letter of one word directly before the first of another, once the text between them is taken out.
MEETING = regex.compile(rf"(?!{_APART})\w(?!{_APART})\w")
PUNCTUATION = regex.compile(r"\p{P}")
CLOSING = regex.compile(r"[.,:;!?)\]]+")


@dataclass(frozen=True)
class Unit:
    """Text to copy. `words`: the number of words of the rest before it; `spaced`: white space stands before
    it, and after it; `stopped`: punctuation stands between the word before and it."""

    text: str
    words: int
    spaced: tuple[bool, bool]
    stopped: bool


@dataclass(frozen=True)
class Rest:
    """The text of a sentence that a model is to translate, of `words` words, and the units taken out."""

    text: str
    words: int
    units: tuple[Unit, ...]


def translatable(text: str) -> bool:
    """True if `text` holds a letter or a digit; any other text is the same in every language."""
    return bool(LETTER_OR_DIGIT.search(text))


def take_out(text: str, knows: Callable[[str], bool]) -> Rest | None:
    """`text` without the words that the vocabulary does not know, or None if too little is left to translate.

    A word with an unknown character is taken out as a whole, so that names and addresses stay intact; emoji
    and punctuation before or after a word are taken out alone. Too little is left if the rest has no letters,
    or fewer letters than were taken out.
    """
    knows = cache(knows)
    text = RUN.sub(lambda run: _as_written(run[0], knows), text)
    pieces: list[str] = []
    units: list[Unit] = []
    start = words = unknown = 0
    stopped = False
    for begin, end in _unknown_spans(text, knows):
        piece, behind = text[start:begin], text[end : end + 1]
        spaced = (_spaced(text[begin - 1 : begin]), _spaced(behind))
        more = _words(piece)
        words += len(more)
        stopped = bool(PUNCTUATION.search(piece, more[-1][1] if more else 0)) or (stopped and not more)
        units.append(Unit(text[begin:end], words, spaced, stopped))
        unknown += sum(not knows(letter) for letter in LETTER.findall(text[begin:end]))
        # Of the two spaces around the unit one is removed, and so is a space before closing punctuation.
        pieces.append(piece.rstrip() if spaced[1] or PUNCTUATION.match(behind) else piece)
        if MEETING.match(text[begin - 1 : begin] + behind):
            pieces.append(" ")
        start = end
    rest = ("".join(pieces) + text[start:]).strip()
    if max(unknown, 1) > len(LETTER.findall(rest)):
        return None
    return Rest(rest, words + len(_words(text[start:])), tuple(units))


def put_in(translation: str, rest: Rest) -> str:
    """`translation` of `rest`, with the units that were taken out."""
    words = _words(translation)
    inserted: list[tuple[int, str]] = []
    for unit in rest.units:
        left, right = (" " if spaced else "" for spaced in unit.spaced)
        at = round(unit.words * len(words) / rest.words)
        if unit.words == 0 or not words:
            inserted.append((0, unit.text + right))
        elif unit.words == rest.words:
            end = len(translation) if unit.stopped else words[-1][1]
            inserted.append((end, left + unit.text))
        elif unit.spaced[1]:
            inserted.append((words[max(at, 1) - 1][1], left + unit.text))
        else:
            inserted.append((words[min(at, len(words) - 1)][0], unit.text))
    pieces, done = [], 0
    for position, text in sorted(inserted, key=lambda pair: pair[0]):
        pieces += [translation[done:position], text]
        done = position
    return "".join([*pieces, translation[done:]])


def _words(text: str) -> list[tuple[int, int]]:
    """Beginning and end of each word, without punctuation after it."""
    words = ((run.start(), TO_LAST_LETTER.match(run[0])) for run in RUN.finditer(text))
    return [(start, start + word.end()) for start, word in words if word]


def _spaced(neighbour: str) -> bool:
    return not neighbour or neighbour.isspace()


def _unknown_spans(text: str, knows: Callable[[str], bool]) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    for run in RUN.finditer(text):
        if knows(run[0]):
            continue
        for begin, end in _unknown_in(run[0], knows):
            first, last = run.start() + begin, run.start() + end
            if first == 0 and run.end() < len(text) and CLOSING.fullmatch(text, last, run.end()):
                last = run.end()  # "1." or "Anna," before all the rest
            if spans and spans[-1][1] >= first:
                spans[-1] = (spans[-1][0], last)
            else:
                spans.append((first, last))
    return spans


def _unknown_in(run: str, knows: Callable[[str], bool]) -> list[tuple[int, int]]:
    """The spans of `run` to take out: its middle if that is unknown, and unknown edges."""
    begin, end = _middle(run)
    spans = [match.span() for match in CHARACTER.finditer(run, 0, begin)]
    if not knows(run[begin:end]):
        spans.append((begin, end))
    spans += [match.span() for match in CHARACTER.finditer(run, end)]
    return [span for span in spans if not knows(run[slice(*span)])]


def _middle(run: str) -> tuple[int, int]:
    """Beginning and end of the word in `run`, without the edges on either side."""
    spans = [match.span() for match in CHARACTER.finditer(run)]
    first, last = 0, len(spans)
    while first < last and EDGE.match(run, spans[first][0]):
        first += 1
    while last > first and EDGE.match(run, spans[last - 1][0]):
        last -= 1
    if first == last:
        return len(run), len(run)
    return spans[first][0], spans[last - 1][1]


def _as_written(run: str, knows: Callable[[str], bool]) -> str:
    """`run` with another form of apostrophe or dash in its word, if the vocabulary knows only that form."""
    if knows(run):
        return run
    begin, end = _middle(run)
    for marks in product(APOSTROPHES, DASHES):
        word = str(INNER.sub(partial(_mark, *marks), run[begin:end]))
        if knows(word):
            return run[:begin] + word + run[end:]
    return run


def _mark(apostrophe: str, dash: str, mark: regex.Match[str]) -> str:
    return dash if DASH.match(mark[0]) else apostrophe
