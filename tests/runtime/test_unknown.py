"""Taking words that the vocabulary cannot write out of a sentence, and putting them into its translation."""

import string

import pytest

from hat.runtime.translator.unknown_words import put_in, take_out

KNOWN = {*string.ascii_letters, *"äöüß .,!?'"}


def knows(text: str) -> bool:
    return all(character in KNOWN for character in text)


@pytest.mark.parametrize(
    ("source", "rest", "translated", "expected"),
    [
        (
            "The dog \U0001f606 sleeps.",
            "The dog sleeps.",
            "Der Hund schläft.",
            "Der Hund \U0001f606 schläft.",
        ),
        ("\U0001f606 The dog", "The dog", "Der Hund", "\U0001f606 Der Hund"),
        ("The dog\U0001f606.", "The dog.", "Der Hund.", "Der Hund\U0001f606."),
        ("The dog \U0001f606.", "The dog.", "Der Hund.", "Der Hund \U0001f606."),
        ("A dog. \U0001f606 \U0001f600", "A dog.", "Ein Hund.", "Ein Hund. \U0001f606 \U0001f600"),
        ("Łukasz likes it.", "likes it.", "mag es.", "Łukasz mag es."),
        ("Łukasz, come here.", "come here.", "komm her.", "Łukasz, komm her."),
        ("1. The dog", "The dog", "Der Hund", "1. Der Hund"),
        ("(1): The dog", "The dog", "Der Hund", "(1): Der Hund"),
        ("1.The dog", "dog", "Hund", "1.The Hund"),
        ("See http://a.b/c?d=e now", "See now", "Siehe jetzt", "Siehe http://a.b/c?d=e jetzt"),
        ("Write to mail@a.b!", "Write to!", "Schreibe an!", "Schreibe an mail@a.b!"),
        ("He said “go”.", "He said go.", "Er sagte geh.", "Er sagte “geh”."),
        ("<s> The dog </s>", "The dog", "Der Hund", "<s> Der Hund </s>"),
        ("It doesn’t “run’s”", "It doesn't run's", "Es läuft's", "Es “läuft's”"),
        ("the股dog", "the dog", "der Hund", "der 股Hund"),
        ("the 股 dog", "the dog", "der Hund", "der 股 Hund"),
        (
            "dog \U0001f469\u200d\U0001f469\u200d\U0001f467",
            "dog",
            "Hund",
            "Hund \U0001f469\u200d\U0001f469\u200d\U0001f467",
        ),
        ("I love\u00a0\u2764\ufe0f you", "I love you", "Ich liebe dich", "Ich liebe \u2764\ufe0f dich"),
    ],
)
def test_unknown_words_are_copied_to_where_they_stood(
    source: str, rest: str, translated: str, expected: str
) -> None:
    taken = take_out(source, knows)
    assert taken is not None
    assert taken.text.replace("\u00a0", " ") == rest
    assert put_in(translated, taken) == expected


@pytest.mark.parametrize(
    "source",
    [
        "\U0001f600",
        "Привет, мир!",
        "今日は雨です。",
        "€18.10",
        "A股市场",
        "mail@a.b",
        "http://a.b/c",
        "\ue000",
        "1 + 2",
    ],
)
def test_a_sentence_with_too_little_that_is_known_is_left_alone(source: str) -> None:
    assert take_out(source, knows) is None


def test_nothing_is_lost_in_an_empty_translation() -> None:
    taken = take_out("The dog \U0001f606 \U0001f600.", knows)
    assert taken is not None
    assert put_in("", taken).split() == ["\U0001f606", "\U0001f600"]


def test_every_copied_word_is_there_once_whatever_the_lengths() -> None:
    faces = [chr(0x1F600 + number) for number in range(6)]
    for words in range(1, 6):
        for translated in range(7):
            line = " ".join(f"dog {face}" for face in faces[:words])
            taken = take_out(line, knows)
            assert taken is not None
            found = put_in(" ".join(["Hund"] * translated), taken)
            assert [character for character in found if character in faces] == faces[:words]
            assert found.count("Hund") == translated
