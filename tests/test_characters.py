"""Characters without meaning, whole kinds at a time."""

import sys
import unicodedata

import pytest
import regex

from hat.characters import JOINERS, cleaned

PERSIAN = "می\u200cخواهم"  # two letters that would join
DEVANAGARI = "क\u094d\u200dष"  # a half form: virama and joiner
BENGALI = "র\u200d\u09cdয"  # the joiner stands before the virama
FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
ASTRONAUT = "\U0001f468\U0001f3fd\u200d\U0001f680"  # with a skin tone


def having(pattern: str) -> list[str]:
    matcher = regex.compile(pattern)
    return [character for character in map(chr, range(sys.maxunicode + 1)) if matcher.match(character)]


@pytest.mark.parametrize(
    "kind",
    [
        r"\p{Default_Ignorable_Code_Point}",
        r"\p{Bidi_Control}",
        r"\p{Noncharacter_Code_Point}",
        r"\p{Variation_Selector}",
        r"\p{Join_Control}",
    ],
)
def test_a_word_is_the_same_with_a_character_without_meaning_in_it(kind: str) -> None:
    found = having(kind)
    assert found
    assert {cleaned(f"mor{character}ning") for character in found} == {"morning"}


def test_control_characters_vanish_and_those_that_separate_become_spaces() -> None:
    separating = "\t\n\v\f\r\x85\u2028\u2029"
    for character in (c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c) == "Cc"):
        assert cleaned(f"a{character}b") == ("a b" if character in separating else "ab"), ascii(character)
    assert cleaned("a\u2028b\u2029c") == "a b c"


def test_a_zero_width_space_separates_words_where_a_script_has_no_other() -> None:
    assert cleaned("ខ្ញុំ\u200bស្រលាញ់") == "ខ្ញុំ ស្រលាញ់"
    assert cleaned("mor\u200bning ខ្ញុំ\u200b.") == "morning ខ្ញុំ."


def test_what_means_something_stays() -> None:
    for text in (
        "",
        "plain text",
        "Straße – „übermütig“ …",
        "e\u0301",
        "今日は",
        "\u00a0",
        "\u3000",
        "\U0001f600",
    ):
        assert cleaned(text) == text


@pytest.mark.parametrize("text", [PERSIAN, DEVANAGARI, BENGALI, FAMILY, ASTRONAUT])
def test_joiners_stay_where_they_change_what_is_written(text: str) -> None:
    assert cleaned(text) == text
    assert cleaned(f"\u200d\u200c{text}\u00ad\u200c\u200d.") == f"{text}."
    assert not set(cleaned(text, "")) & set(JOINERS)


def test_a_joiner_stays_only_if_it_is_known() -> None:
    assert cleaned(PERSIAN + DEVANAGARI, "\u200c") == PERSIAN + DEVANAGARI.replace("\u200d", "")


def test_stray_joiners_go() -> None:
    assert cleaned("mor\u200cning \u200d dog\u200d") == "morning  dog"


def test_cleaning_twice_is_cleaning_once() -> None:
    for character in having(r"[\p{Default_Ignorable_Code_Point}\p{Cc}\p{Noncharacter_Code_Point}]"):
        for text in (f"a{character}b", f"{character}{PERSIAN}{character}{FAMILY}"):
            assert cleaned(cleaned(text)) == cleaned(text)
