"""Adverbials of time: adverbs, days, dates, clock times and spans."""

from random import Random

from hat.data.grammar.numbers import english_cardinal, english_ordinal, german_cardinal, german_ordinal
from hat.data.grammar.phrases import Pair

_ANY_TIME = (Pair("today", "heute"), Pair("in the morning", "am Morgen"), Pair("in the evening", "am Abend"))
_BY_MODE = {
    "past": (Pair("yesterday", "gestern"), *_ANY_TIME),
    "present": (Pair("now", "jetzt"), Pair("every day", "jeden Tag"), *_ANY_TIME),
    "modal": (Pair("now", "jetzt"), Pair("tomorrow", "morgen"), *_ANY_TIME),
}


def _pairs(text: str) -> tuple[Pair, ...]:
    return tuple(Pair(*words.split("/")) for words in text.split())


_WEEKDAYS = _pairs(
    "Monday/Montag Tuesday/Dienstag Wednesday/Mittwoch Thursday/Donnerstag Friday/Freitag "
    "Saturday/Samstag Sunday/Sonntag"
)
_MONTHS = _pairs(
    "January/Januar February/Februar March/März April/April May/Mai June/Juni July/Juli "
    "August/August September/September October/Oktober November/November December/Dezember"
)
_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_UNITS = _pairs("minutes/Minuten hours/Stunden days/Tagen weeks/Wochen months/Monaten years/Jahren")
_TEENS_AND_TENS: tuple[int, ...] = (*range(13, 21), *range(30, 100, 10))


def number(rng: Random) -> int:
    """A number from 2, small ones likelier, never one that ends in 01."""
    kind = rng.random()
    if kind < 0.35:
        return rng.randint(2, 12)
    if kind < 0.5:
        return rng.choice(_TEENS_AND_TENS)
    drawn = rng.randint(21, 99) if kind < 0.8 else rng.randint(100, 999)
    return drawn if drawn % 100 != 1 else drawn + 1


def date(day: int, month: int) -> Pair:
    """On the third of March, am dritten März (both counted from 1)."""
    english, german = _MONTHS[month - 1]
    return Pair(f"on the {english_ordinal(day)} of {english}", f"am {german_ordinal(day)} {german}")


def span(count: int, unit: Pair, past: bool) -> Pair:
    """A distance from now: three days ago, vor drei Tagen; in three days, in drei Tagen."""
    english, german = f"{english_cardinal(count)} {unit.english}", german_cardinal(count)
    if past:
        return Pair(f"{english} ago", f"vor {german} {unit.german}")
    return Pair(f"in {english}", f"in {german} {unit.german}")


def time(rng: Random, mode: str) -> Pair:
    """A time that suits the mode of its clause."""
    tense = mode if mode in ("past", "present") else "modal"
    kind = rng.random()
    if kind < 0.45:
        return rng.choice(_BY_MODE[tense])
    if kind < 0.57:
        day = rng.choice(_WEEKDAYS)
        return Pair(f"on {day.english}", f"am {day.german}")
    if kind < 0.67:
        month = rng.choice(_MONTHS)
        return Pair(f"in {month.english}", f"im {month.german}")
    if kind < 0.77:
        hour = rng.randint(2, 12)
        return Pair(f"at {english_cardinal(hour)} o'clock", f"um {german_cardinal(hour)} Uhr")
    if kind < 0.88 and tense != "present":
        return span(number(rng), rng.choice(_UNITS), tense == "past")
    month_number = rng.randint(1, 12)
    return date(rng.randint(1, _DAYS[month_number - 1]), month_number)
