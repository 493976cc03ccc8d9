"""Characters that carry no meaning, recognised by their Unicode properties.

`cleaned` is applied to text that a vocabulary is learnt from, that a model is trained on and that it
translates, so that a word with a soft hyphen is the same word in all three.
"""

from collections.abc import Callable

import regex

# Zero width non-joiner and zero width joiner: the two characters of Unicode's Join_Control.
JOINERS = "\u200c\u200d"

# Soft hyphens, zero width spaces, byte order marks, variation selectors, direction marks, control characters
# other than white space, and noncharacters.
_INVISIBLE = (
    r"[[\p{Default_Ignorable_Code_Point}\p{Bidi_Control}\p{Noncharacter_Code_Point}\p{Cc}]"
    r"--[\p{White_Space}\p{Join_Control}]]"
)
# Tabs, ends of lines and of paragraphs, and the zero width space that separates words of Thai, Khmer, Lao or
# Burmese. Spaces of other widths are left to the tokenizer.
_BLANK = r"(?:[[\p{Cc}\p{Zl}\p{Zp}]&&\p{White_Space}]|(?<=\p{Line_Break=SA})\u200b(?=\p{Line_Break=SA}))"
_JOINS = r"[\p{Joining_Type=D}\p{Joining_Type=R}\p{Joining_Type=L}\p{Joining_Type=C}--\p{Join_Control}]"
_VIRAMA = r"\p{Canonical_Combining_Class=9}"
_PICTURE = r"\p{Extended_Pictographic}"
_LEFT, _RIGHT = rf"(?<={_JOINS}\p{{Joining_Type=T}}*)", rf"(?=\p{{Joining_Type=T}}*{_JOINS})"
# A joiner changes the look of its neighbours beside letters that join (Arabic, Syriac, Mongolian …), beside a
# virama (Devanagari, Bengali …) and between emoji; anywhere else it is a stray. Compare RFC 5892, appendix A.
_JOINER = (
    rf"(?P<joiner>{_LEFT}\u200c{_RIGHT}|{_LEFT}\u200d|\u200d{_RIGHT}"
    rf"|(?<={_VIRAMA})\p{{Join_Control}}|\p{{Join_Control}}(?={_VIRAMA})"
    rf"|(?<={_PICTURE}\p{{Emoji_Modifier}}?)\u200d(?={_PICTURE}))"
)
INVISIBLE = regex.compile(_INVISIBLE, regex.V1)
UNSEEN = regex.compile(rf"{_INVISIBLE}|\p{{Join_Control}}", regex.V1)
BLANK = regex.compile(_BLANK, regex.V1)
SUSPECT = regex.compile(rf"{_INVISIBLE}|{_BLANK}|\p{{Join_Control}}", regex.V1)
JOINER = regex.compile(rf"{_JOINER}|\p{{Join_Control}}", regex.V1)


def cleaned(text: str, joiners: str = JOINERS) -> str:
    """`text` without the characters that carry no meaning; tabs and ends of lines become spaces. JOINERS are
    kept if they are in `joiners` and change the look of their neighbours."""
    if not SUSPECT.search(text):
        return text
    text = INVISIBLE.sub("", BLANK.sub(" ", text))
    return str(JOINER.sub(lambda match: match[0] if match["joiner"] and match[0] in joiners else "", text))


def known_joiners(knows: Callable[[str], bool]) -> str:
    """The JOINERS that a tokenizer `knows`: those that it does not encode as <unk>."""
    return "".join(joiner for joiner in JOINERS if knows(joiner))
