"""Lines into sentences."""

import pytest

from hat.sentences import split_sentences


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        ("en", ["The dog runs. ", "Does it? ", "It does!  ", "Good"]),
        ("en", ["Dr. Smith met Mr. Brown at 5 p.m. in St. Louis. ", "He left."]),
        ("de", ["Am 3. Oktober kam er. ", "Das war z.B. gestern. ", "Er ging."]),
        ("fr", ["Il est là. ", "Où ? ", "Ici !"]),
        ("zh", ["今天下雨。", "明天晴。"]),
        ("ja", ["今日は雨です。", "明日は晴れ。"]),
        ("hi", ["नमस्ते। ", "आप कैसे हैं? ", "ठीक।"]),
        ("en", ["One.\t", "Two.\u00a0", "Three.\u3000 ", "Four."]),
        ("en", ["The dog\u00ad sleeps.\u00ad ", "The c\u2060at runs."]),
        ("en", ["The dog sleeps here.", "The cat runs there."]),
        ("en", ["(The dog sleeps.) ", "The cat [a black one!] runs. ", "Good."]),
        ("en", ["The cat runs (it is black.) ", "“The dog sleeps.” ", "Good."]),
        ("en", ["The dog sleeps… ", "The cat runs here…", "“The dog wakes up.”"]),
        ("en", ["The dog\u2029", "A dog sleeps.\u2029 ", "The cat runs"]),
        ("und", ["A dog. ", "A cat."]),
        ("xx", ["A dog. ", "A cat."]),
    ],
)
def test_sentences_end_by_the_rules_of_the_language(language: str, sentences: list[str]) -> None:
    assert split_sentences("".join(sentences), language) == sentences


@pytest.mark.parametrize(
    "line",
    [
        "Use Node.JS or ASP.NET here.",
        "We call System.Out.Println twice.",
        "Write to a.b@C.D.",
        "1. First.",
        "… and so on.",
        "Ein Haus (bzw.) Häuser.",
        "The end… of the line.",
        "Mc…Donald",
        "The dog sleeps. …",
        "The dog sleeps. \U0001f600",
        "12. 13. 14.",
        "   ",
        "\u00ad\u200b",
    ],
)
def test_what_is_no_sentence_of_its_own_stays_with_its_neighbour(line: str) -> None:
    assert split_sentences(line, "en") == [line]


def test_an_empty_line_has_no_sentence() -> None:
    assert split_sentences("", "en") == []


def test_the_sentences_joined_are_the_line() -> None:
    pieces = [
        "The dog. ",
        "\u200b",
        "1. ",
        "A\u00ad b!",
        "\t",
        "。",
        "\U0001f600 ",
        "x.Y",
        " ",
        "“Q. R.” ",
        "\r",
        "e.g. ",
        "(X y.) ",
        "of ab…",
        "\u2029",
    ]
    for first in pieces:
        for second in pieces:
            for third in pieces:
                line = first + second + third
                assert "".join(split_sentences(line, "en")) == line


def test_a_text_longer_than_a_window_has_the_same_sentences() -> None:
    sentences = [f"The dog sleeps {'very ' * (number % 9)}well. " for number in range(900)]
    assert split_sentences("".join(sentences), "en") == sentences
    assert "".join(split_sentences("dog " * 9000, "en")) == "dog " * 9000
    assert "".join(split_sentences("x" * 30_000, "en")) == "x" * 30_000
