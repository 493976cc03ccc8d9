"""Splitting a line of text into sentences by the rules of its language."""

from collections.abc import Iterator
from itertools import accumulate

import regex
import sentencex

from hat.characters import UNSEEN

LETTER = regex.compile(r"\p{L}")
# A full stop without a space after it ends a sentence if it is between two of several words, not in
# "System.Out".
STOPS = regex.compile(r"\S\s+(?:.*\s)?[^\s.]*\p{Ll}\.+$", regex.DOTALL)
STARTS = regex.compile(r"\p{Lu}[\p{Ll}\s].*\s\S", regex.DOTALL)
NEAR = 100  # characters on each side that decide whether it does
# More ends than sentencex knows: of a paragraph, and before a capital letter a bracket behind a full stop, or
# an ellipsis that is one character.
_CLOSED = r"(?<bracket>[.!?…][\"'\p{Pf}]*[)\]]+)\s+"
ENDS = regex.compile(rf"\p{{Zp}}\s*|(?:{_CLOSED}|…\s+|(?<joined>…))(?=[\"'\p{{Pi}}(\[]*\p{{Lu}})")
# A bracket that closes several words ends a sentence; one word in brackets, "(bzw.)", does not.
WORDS = regex.compile(r"\s\w*\p{Ll}{2,}$")
# The most characters for sentencex at once: its time for unpaired quotation marks grows with the square.
WINDOW = 1 << 13


def split_sentences(text: str, language: str) -> list[str]:
    """The sentences of `text`, each with the white space after it: joined, they are `text` again.

    `language`: a code such as "en" or "pt-BR"; unknown ones get rules that suit most languages. Characters
    that carry no meaning do not hide the end of a sentence. Text without letters ("1.", "…") is no sentence
    of its own: it belongs to the next one, or at the end to the one before.
    """
    sentences: list[list[str]] = []
    before, whole = "", True  # of the last sentence: its end, and True if it holds a letter
    for piece in _segments(text, language):
        if sentences and not (whole and _apart(before, piece)):
            sentences[-1].append(piece)
        else:
            sentences.append([piece])
            before, whole = "", False
        before = (before + piece)[-NEAR:]
        whole = whole or bool(LETTER.search(piece))
    if len(sentences) > 1 and not whole:
        last = sentences.pop()
        sentences[-1] += last
    return ["".join(pieces) for pieces in sentences]


def _apart(before: str, after: str) -> bool:
    return not before.endswith(".") or bool(STOPS.search(before) and STARTS.match(after[:NEAR]))


def _segments(text: str, language: str) -> list[str]:
    """The segments of the visible characters of `text`, with the other characters put back."""
    code = regex.split("[-_]", language.lower())[0]
    if not UNSEEN.search(text):
        return list(_visible_segments(text, code))
    seen = [position for position, character in enumerate(text) if not UNSEEN.match(character)]
    visible = "".join(text[position] for position in seen)
    ends = accumulate(map(len, _visible_segments(visible, code)))
    starts = [seen[end] for end in ends if end < len(seen)]
    return [text[start:end] for start, end in zip([0, *starts], [*starts, len(text)], strict=True)]


def _visible_segments(text: str, code: str) -> Iterator[str]:
    """The segments of sentencex, cut at the other ENDS too."""
    for segment in _windows(text, code):
        start = 0
        for end in ENDS.finditer(segment):
            before = segment[max(start, end.start() - NEAR) : end.start()]
            if WORDS.search(before) or not (end["bracket"] or end["joined"]):
                yield segment[start : end.end()]
                start = end.end()
        if start < len(segment):
            yield segment[start:]


def _windows(text: str, code: str) -> Iterator[str]:
    """The segments of `text`, found one window at a time; the last of a window may continue in the next."""
    start = 0
    while len(text) - start > WINDOW:
        window = text[start : start + WINDOW]
        segments = sentencex.segment(code, window)
        # Too long for any model: the window is cut at its last space, or at its end.
        complete = segments[:-1] or [window[: window.rfind(" ") + 1] or window]
        yield from complete
        start += sum(map(len, complete))
    yield from sentencex.segment(code, text[start:])
