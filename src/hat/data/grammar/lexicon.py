"""The words of the grammar, read from the tables beside this file."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hat.lines import read_lines

Kinds = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun; each pair of forms is (singular, plural), a mass noun's plural is "-"."""

    english: tuple[str, str]
    german: tuple[str, str]
    gender: str  # m, f or n
    genitive: str
    kinds: Kinds
    prepositions: tuple[str, str] = ("", "")  # English, German: of a location

    @property
    def dative_plural(self) -> str:
        plural = self.german[1]
        return plural if plural[-1] in "ns" else plural + "n"


@dataclass(frozen=True, slots=True)
class Adjective:
    """An adjective whose German endings are appended to `german`."""

    english: str
    german: str
    kinds: Kinds


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb; German forms come without the separable `prefix`."""

    base: str
    third: str
    past: str
    particle: str
    preposition: str
    prefix: str
    infinitive: str
    singular: tuple[str, str, str]  # ich, du, er
    participle: str
    auxiliary: str
    government: Kinds
    object_kinds: Kinds

    @property
    def name(self) -> str:
        return " ".join(filter(None, (self.base, self.particle, self.preposition)))

    @property
    def object_case(self) -> str:
        """The German case of the object."""
        government = self.government[0]
        return "acc" if government == "gift" else government.rpartition("+")[2]

    @property
    def object_preposition(self) -> str:
        """The German preposition that the object takes, or nothing."""
        return self.government[0].rpartition("+")[0]


@dataclass(frozen=True, slots=True)
class Lexicon:
    """All words; compound nouns are nouns like the others, listed apart with their parts."""

    nouns: tuple[Noun, ...]
    verbs: tuple[Verb, ...]
    adjectives: tuple[Adjective, ...]
    modifiers: tuple[tuple[str, str], ...]
    compounds: dict[tuple[str, str], Noun]  # (modifier, head) in English → noun


def _rows(name: str) -> list[list[str]]:
    lines = read_lines(Path(__file__).with_name(name))
    return [line.split() for line in lines if not line.startswith("#")]


def _kinds(cell: str) -> Kinds:
    return () if cell == "-" else tuple(cell.split(","))


def _noun(row: list[str]) -> Noun:
    english, english_plural, german, gender, german_plural, genitive, kinds, *place = row
    there, _, here = place[0].partition("/") if place else ("", "", "")
    return Noun(
        (english, english_plural),
        (german, german_plural),
        gender=gender,
        genitive=genitive,
        kinds=_kinds(kinds),
        prepositions=(there, here),
    )


def _verb(row: list[str]) -> Verb:
    base, third, past, companion, prefix, infinitive, *rest = row
    ich, du, er, participle, auxiliary, government, kinds = rest
    blank = {"-": ""}
    return Verb(
        base,
        third=third,
        past=past,
        particle=companion[1:] if companion.startswith("+") else "",
        preposition="" if companion.startswith("+") else blank.get(companion, companion),
        prefix=blank.get(prefix, prefix),
        infinitive=infinitive,
        singular=(ich, du, er),
        participle=participle,
        auxiliary=auxiliary,
        government=_kinds(government),
        object_kinds=_kinds(kinds),
    )


def _compound(modifier: tuple[str, str], head: Noun) -> Noun:
    english, german = modifier
    return Noun(
        (f"{english} {head.english[0]}", f"{english} {head.english[1]}"),
        (german + head.german[0].lower(), german + head.german[1].lower()),
        gender=head.gender,
        genitive="-",
        kinds=head.kinds,
    )


@cache
def lexicon() -> Lexicon:
    """The grammar's only lexicon."""
    nouns = tuple(_noun(row) for row in _rows("nouns.txt"))
    modifiers = tuple((english, german) for english, german in _rows("modifiers.txt"))
    return Lexicon(
        nouns,
        tuple(_verb(row) for row in _rows("verbs.txt")),
        tuple(Adjective(row[0], row[1], _kinds(row[2])) for row in _rows("adjectives.txt")),
        modifiers,
        {
            (modifier[0], head.english[0]): _compound(modifier, head)
            for modifier in modifiers
            for head in nouns
            if "furniture" in head.kinds
        },
    )
