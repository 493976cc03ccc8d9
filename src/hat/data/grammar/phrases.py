"""Pronouns, noun phrases and prepositional phrases in both languages."""

from dataclasses import dataclass
from typing import NamedTuple

from hat.data.grammar.lexicon import Adjective, Noun
from hat.data.grammar.numbers import english_cardinal, german_cardinal

CASES = ("nom", "acc", "dat", "gen")

Paradigm = dict[tuple[str, str], str]  # (gender or p, case) → ending or form


def _paradigm(m: str, f: str, n: str, p: str) -> Paradigm:
    """A paradigm from its forms in the order of CASES, "0" for an empty one."""
    rows = {"m": m, "f": f, "n": n, "p": p}
    return {
        (gender, case): form.replace("0", "")
        for gender, row in rows.items()
        for case, form in zip(CASES, row.split(), strict=True)
    }


_THE = _paradigm("der den dem des", "die die der der", "das das dem des", "die die den der")
_DER = _paradigm("er en em es", "e e er er", "es es em es", "e e en er")
_EIN = _paradigm("0 en em es", "e e er er", "0 0 em es", "e e en er")
_STRONG = _paradigm("er en em en", "e e er er", "es es em en", "e e en er")
_WEAK = _paradigm("e en en en", "e e en en", "e e en en", "en en en en")
_MIXED = _paradigm("er en en en", "e e en en", "es es en en", "en en en en")

_DER_WORDS = {"this": "dies", "every": "jed"}
POSSESSIVES = {"my": "mein", "your": "dein", "his": "sein", "her": "ihr", "our": "unser", "their": "ihr"}
_EIN_WORDS = {"a": "ein", "no": "kein", **POSSESSIVES}
_CONTRACTIONS = {
    **{("in", "dem"): "im", ("in", "das"): "ins", ("an", "dem"): "am"},
    **{("von", "dem"): "vom", ("zu", "dem"): "zum", ("zu", "der"): "zur"},
}


class Pair(NamedTuple):
    """A text in both languages."""

    english: str
    german: str


NOTHING = Pair("", "")


@dataclass(frozen=True, slots=True)
class Pronoun:
    """A pronoun; `agreement` is person and number (1s … 3p), `case_forms` nom, acc, dat."""

    english_subject: str
    english_object: str
    agreement: str
    case_forms: tuple[str, str, str]

    def english(self, as_object: bool) -> str:
        return self.english_object if as_object else self.english_subject

    def german(self, case: str, negative: bool = False) -> str:
        return self.case_forms[CASES.index(case)]


PRONOUNS = {
    "I": Pronoun("I", "me", "1s", ("ich", "mich", "mir")),
    "you": Pronoun("you", "you", "2s", ("du", "dich", "dir")),
    "he": Pronoun("he", "him", "3s", ("er", "ihn", "ihm")),
    "she": Pronoun("she", "her", "3s", ("sie", "sie", "ihr")),
    "we": Pronoun("we", "us", "1p", ("wir", "uns", "uns")),
    "they": Pronoun("they", "them", "3p", ("sie", "sie", "ihnen")),
}
# English "it" takes the gender of the German noun that it stands for.
IT = {
    "m": Pronoun("it", "it", "3s", ("er", "ihn", "ihm")),
    "f": Pronoun("it", "it", "3s", ("sie", "sie", "ihr")),
    "n": Pronoun("it", "it", "3s", ("es", "es", "ihm")),
}
_RELATIVE = {
    "m": ("der", "den", "dem"),
    "f": ("die", "die", "der"),
    "n": ("das", "das", "dem"),
    "p": ("die", "die", "denen"),
}


@dataclass(frozen=True, slots=True)
class NounPhrase:
    """A noun with its determiner, adjectives and modifier.

    `determiner`: an English determiner ("" for none), a number from 2 to 999, or the possessor (a singular
    one). `modifier` follows the noun in both languages.
    """

    noun: Noun
    determiner: "str | int | NounPhrase" = "the"
    plural: bool = False
    adjectives: tuple[Adjective, ...] = ()
    modifier: Pair = NOTHING

    @property
    def agreement(self) -> str:
        return "3p" if self.plural else "3s"

    @property
    def gender(self) -> str:
        """The gender, or p in the plural, on which German agreement depends."""
        return "p" if self.plural else self.noun.gender

    @property
    def definite(self) -> bool:
        """True if the German determiner is the article der, die, das."""
        return self.determiner == "the" or isinstance(self.determiner, NounPhrase)

    @property
    def negatable(self) -> bool:
        """True if German negates the phrase with kein."""
        return self.determiner in ("a", "")

    def english(self, as_object: bool = False) -> str:
        words = [adjective.english for adjective in self.adjectives]
        words.append(self.noun.english[self.plural])
        return " ".join([*self._english_determiner(words[0]), *words]) + self.modifier.english

    def _english_determiner(self, following: str) -> list[str]:
        determiner = self.determiner
        if isinstance(determiner, NounPhrase):
            return [determiner.english() + "'s"]
        if isinstance(determiner, int):
            return [english_cardinal(determiner)]
        if determiner == "a" and following[0] in "aeiou":
            return ["an"]
        if determiner == "this" and self.plural:
            return ["these"]
        return [determiner] if determiner else []

    def german(self, case: str, negative: bool = False) -> str:
        determiner, paradigm = self._german_determiner(case, negative)
        ending = paradigm[self.gender, case]
        words = [determiner] if determiner else []
        words += [adjective.german + ending for adjective in self.adjectives]
        words.append(self._german_noun(case))
        if isinstance(self.determiner, NounPhrase):
            words.append(self.determiner.german("gen"))
        return " ".join(words) + self.modifier.german

    def _german_determiner(self, case: str, negative: bool) -> tuple[str, Paradigm]:
        """The determiner in its form and the adjective endings that it asks for."""
        determiner = "no" if negative and self.negatable else self.determiner
        if self.definite:
            return _THE[self.gender, case], _WEAK
        if isinstance(determiner, int):
            return german_cardinal(determiner), _STRONG
        if determiner in _DER_WORDS:
            return _DER_WORDS[str(determiner)] + _DER[self.gender, case], _WEAK
        if determiner in _EIN_WORDS:
            return _EIN_WORDS[str(determiner)] + _EIN[self.gender, case], _MIXED
        return "", _STRONG

    def _german_noun(self, case: str) -> str:
        if case == "dat" and self.plural:
            return self.noun.dative_plural
        if case == "gen" and not self.plural:
            return self.noun.genitive
        return self.noun.german[self.plural]


Nominal = Pronoun | NounPhrase


def relative_pronoun(antecedent: NounPhrase) -> Pronoun:
    """The relative pronoun as a subject ("who" or "that") or a German object."""
    word = "who" if "person" in antecedent.noun.kinds else "that"
    return Pronoun(word, word, antecedent.agreement, _RELATIVE[antecedent.gender])


def german_prepositional(preposition: str, case: str, nominal: Nominal) -> str:
    """Preposition and nominal, contracted where German contracts (in dem → im)."""
    words = nominal.german(case)
    if isinstance(nominal, NounPhrase) and nominal.definite:
        article, _, rest = words.partition(" ")
        if (preposition, article) in _CONTRACTIONS:
            return f"{_CONTRACTIONS[preposition, article]} {rest}"
    return f"{preposition} {words}"


def prepositional(english: str, german: str, case: str, nominal: Nominal) -> Pair:
    """A prepositional phrase in both languages."""
    return Pair(f"{english} {nominal.english(True)}", german_prepositional(german, case, nominal))


def location(place: NounPhrase) -> Pair:
    """A place: in the garden, im Garten."""
    return prepositional(*place.noun.prepositions, "dat", place)


def direction(place: NounPhrase) -> Pair:
    """A destination: into the garden, in den Garten; to the market, zum Markt."""
    if place.noun.prepositions[0] == "in":
        return prepositional("into", "in", "acc", place)
    return prepositional("to", "zu", "dat", place)
