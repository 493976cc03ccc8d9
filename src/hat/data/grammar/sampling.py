"""Draws sentences from the grammar."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import TypeVar

from hat.data.grammar import adverbials
from hat.data.grammar.clauses import (
    MODALS,
    Clause,
    english_infinitive,
    english_question,
    english_statement,
    german_infinitive,
    german_statement,
    german_verb_first,
    german_verb_last,
)
from hat.data.grammar.lexicon import Adjective, Lexicon, Noun, Verb, lexicon
from hat.data.grammar.phrases import (
    IT,
    NOTHING,
    POSSESSIVES,
    PRONOUNS,
    Nominal,
    NounPhrase,
    Pair,
    direction,
    location,
    prepositional,
    relative_pronoun,
)

T = TypeVar("T")
# Two words that go together: ("verb", "buy", "table"), ("adjective", "old", "table"),
# ("compound", "kitchen", "table"), ("place", "sleep", "garden").
Combination = tuple[str, str, str]

_ONE_AFTER_ANOTHER = (Pair("because", "weil"), Pair("although", "obwohl"), Pair("before", "bevor"))
_CONJUNCTIONS = (*_ONE_AFTER_ANOTHER, Pair("while", "während"), Pair("if", "wenn"))
_ADVERBS = (Pair("when ", "wann "), Pair("why ", "warum "))
_SINGULAR = (("the", 36), ("a", 34), ("possessive", 14), ("this", 8), ("every", 4), ("owner", 4))
_PLURAL = (("the", 32), ("", 24), ("possessive", 12), ("this", 10), ("number", 22))
_NEGATABLE = ("the", "a", "", "this", "possessive")
_SUBJECT_PRONOUNS = ("I", "I", "I", "you", "you", "you", "he", "she", "we", "they")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence in both languages and the combinations that it contains."""

    english: str
    german: str
    combinations: frozenset[Combination]


def _weighted(rng: Random, choices: Sequence[tuple[T, int]]) -> T:
    point = rng.random() * sum(weight for _, weight in choices)
    for choice, weight in choices:
        point -= weight
        if point < 0:
            return choice
    return choices[-1][0]


def _sharing(words: Sequence[T], kinds_of: Callable[[T], Sequence[str]]) -> dict[str, list[T]]:
    groups: dict[str, list[T]] = {}
    for word in words:
        for kind in kinds_of(word):
            groups.setdefault(kind, []).append(word)
    return groups


def _drinks(verb: Verb) -> bool:
    return verb.object_kinds == ("mass",)


class Sampler:
    """Draws sentences from the grammar; the sequence depends on the random generator alone."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._words: Lexicon = lexicon()
        self._nouns = _sharing(self._words.nouns, lambda noun: noun.kinds)
        self._adjectives = _sharing(self._words.adjectives, lambda adjective: adjective.kinds)
        self._verbs = _sharing(self._words.verbs, lambda verb: verb.government)
        special = {*self._verbs["clause"], *self._verbs["zu"]}
        # Verbs with rare forms twice: a dative object, or a drink (the only object without a determiner).
        self._ordinary = [
            verb
            for verb in self._words.verbs
            if verb not in special
            for _ in range(1 + (verb.object_preposition in ("von", "mit") or _drinks(verb)))
        ]
        self._for_things = [verb for verb in self._verbs["acc"] if "thing" in verb.object_kinds]
        self._combinations: set[Combination] = set()

    def sentence(self) -> Sentence:
        """The next sentence."""
        self._combinations = set()
        template = _weighted(self._rng, _TEMPLATES)
        english, german = template(self)
        return Sentence(
            english[0].upper() + english[1:], german[0].upper() + german[1:], frozenset(self._combinations)
        )

    def _note(self, kind: str, word: str, noun: Noun) -> None:
        """Record a combination; a compound noun counts as its head."""
        self._combinations.add((kind, word, noun.english[0].rpartition(" ")[2]))

    # Noun phrases

    def _adjective(self, noun: Noun, kind: str) -> tuple[Adjective, ...]:
        adjective = self._rng.choice(self._adjectives[kind])
        self._note("adjective", adjective.english, noun)
        return (adjective,)

    def _noun(self, kinds: Sequence[str]) -> Noun:
        noun = self._rng.choice(self._nouns[self._rng.choice(kinds)])
        if "furniture" in noun.kinds and self._rng.random() < 0.4:
            modifier = self._rng.choice(self._words.modifiers)[0]
            self._note("compound", modifier, noun)
            return self._words.compounds[modifier, noun.english[0]]
        return noun

    def _noun_phrase(
        self, kinds: Sequence[str], negated: bool = False, described: float = 0.45
    ) -> NounPhrase:
        noun, rng = self._noun(kinds), self._rng
        kind = noun.kinds[0]
        adjectives = self._adjective(noun, kind) if rng.random() < described else ()
        if kind == "mass":
            return NounPhrase(noun, "", adjectives=adjectives)
        plural = kind != "place" and rng.random() < 0.4
        choices: Sequence[tuple[str, int]] = _PLURAL if plural else _SINGULAR
        if kind == "place" or negated:
            choices = [choice for choice in choices if choice[0] in _NEGATABLE]
        determiner: str | int | NounPhrase = _weighted(rng, choices)
        if determiner == "possessive":
            determiner = rng.choice(tuple(POSSESSIVES))
        elif determiner == "number":
            determiner = adverbials.number(rng)
        elif determiner == "owner":
            determiner = NounPhrase(rng.choice(self._nouns["person"]))
        return NounPhrase(noun, determiner, plural, adjectives)

    def _subject(self, negated: bool = False) -> Nominal:
        if self._rng.random() < 0.54:
            return PRONOUNS[self._rng.choice(_SUBJECT_PRONOUNS)]
        return self._noun_phrase(("person",), negated)

    def _person(self, subject: Nominal, negated: bool = False) -> Nominal:
        """A person who is not the subject: "I see me" would be reflexive."""
        if self._rng.random() < 0.45:
            pronoun = PRONOUNS[self._rng.choice(tuple(PRONOUNS))]
            if pronoun.agreement[0] != subject.agreement[0] or pronoun.agreement[0] == "3":
                return pronoun
        return self._noun_phrase(("person",), negated)

    # Clauses

    def _mode(self) -> str:
        kind = self._rng.random()
        return "present" if kind < 0.45 else "past" if kind < 0.72 else self._rng.choice(MODALS)

    def _clause(
        self,
        *,
        verb: Verb | None = None,
        subject: Nominal | None = None,
        mode: str | None = None,
        negated: bool = False,
        full: bool = True,
        placed: bool = True,
    ) -> Clause:
        """A clause of the verb (any ordinary one by default).

        `full` allows adverbials, and `placed` a place among them.
        """
        rng, verb, mode = self._rng, verb or self._rng.choice(self._ordinary), mode or self._mode()
        # "must not" has two meanings; "for no man" would need kein after a preposition.
        negated = negated and not (mode == "must" or verb.object_preposition)
        clause = Clause(subject or self._subject(negated), verb, mode, negated)
        if full and rng.random() < 0.4:
            clause = replace(clause, time=adverbials.time(rng, mode))
        if "gift" in verb.government:
            return replace(
                clause, recipient=self._recipient(clause.subject), object=self._object(verb, clause)
            )
        if verb.object_kinds:
            clause = replace(clause, object=self._object(verb, clause))
            if not full or negated or clause.time.english or rng.random() < 0.85:
                return clause
            return replace(clause, company=prepositional("for", "für", "acc", self._person(clause.subject)))
        if placed and rng.random() < (0.75 if full else 0.4):
            clause = replace(clause, place=self._place(verb))
        if full and rng.random() < 0.35:
            return replace(clause, company=self._companion(clause.subject))
        return clause

    def _recipient(self, subject: Nominal) -> Nominal:
        recipient = self._person(subject)
        if isinstance(recipient, NounPhrase) and recipient.negatable:
            return replace(recipient, determiner="the")
        return recipient

    def _object(self, verb: Verb, clause: Clause) -> Nominal:
        if "person" in verb.object_kinds and self._rng.random() < 0.4:
            person = self._person(clause.subject, clause.negated)
            if isinstance(person, NounPhrase):
                self._note("verb", verb.name, person.noun)
            return person
        return self._thing(verb, clause.negated)

    def _thing(self, verb: Verb, negated: bool = False) -> NounPhrase:
        """An object noun phrase of any kind that suits the verb."""
        described = 0.7 if _drinks(verb) else 0.45
        thing = self._noun_phrase(verb.object_kinds, negated, described)
        self._note("verb", verb.name, thing.noun)
        if not _drinks(verb) or self._rng.random() < 0.55:
            return thing
        added = self._noun_phrase(("mass",), described=0.9)
        mixed = prepositional("with", "mit", "dat", added)
        return replace(thing, modifier=Pair(f" {mixed.english}", f" {mixed.german}"))

    def _place(self, verb: Verb) -> Pair:
        place = self._noun_phrase(("place",), described=0.35)
        self._note("place", verb.name, place.noun)
        return direction(place) if "motion" in verb.government else location(place)

    def _companion(self, subject: Nominal) -> Pair:
        thing = self._rng.random() < 0.6
        companion = self._noun_phrase(("thing",)) if thing else self._person(subject)
        return prepositional("with", "mit", "dat", companion)

    def _copula(self) -> Clause:
        rng = self._rng
        subject = self._noun_phrase(("person", "thing", "animal", "place"), described=0)
        predicate = rng.choice(self._adjectives[subject.noun.kinds[0]])
        self._note("adjective", predicate.english, subject.noun)
        return Clause(
            subject,
            None,
            rng.choice(("present", "past")),
            rng.random() < 0.2 and subject.determiner != "every",
            predicate=Pair(predicate.english, predicate.german),
        )

    def _dependent(self, mode: str | None = None) -> Clause:
        """A short clause to stand beside another."""
        if mode is None and self._rng.random() < 0.2:
            return self._copula()
        return self._clause(mode=mode, negated=self._rng.random() < 0.12, full=False)

    # Sentences

    def main(self) -> Pair:
        """One main clause, often with an adverbial in front."""
        rng = self._rng
        clause = self._clause(negated=rng.random() < 0.2)
        if clause.time.english and rng.random() < 0.55:
            clause = replace(clause, time=NOTHING, front=clause.time)
        elif clause.place.english and not clause.negated and rng.random() < 0.25:
            clause = replace(clause, place=NOTHING, front=clause.place)
        return _full_stop(clause)

    def description(self) -> Pair:
        """The man is old."""
        return _full_stop(self._copula())

    def subordinate(self) -> Pair:
        """A main clause and an adverbial clause, in either order."""
        rng = self._rng
        english, german = rng.choice(_CONJUNCTIONS)
        mode = None
        if english in ("before", "while", "if"):
            mode = "present" if english == "if" else rng.choice(("present", "past"))
        inner = self._dependent(mode)
        outer = self._clause(
            mode=rng.choice(("present", "will", "must", "can")) if english == "if" else mode, full=False
        )
        inner_english = f"{english} {english_statement(inner)}"
        inner_german = f"{german} {german_verb_last(inner)}"
        if rng.random() < 0.45:
            english, german = f"{inner_english}, {english_statement(outer)}", german_verb_first(outer)
            return Pair(f"{english}.", f"{inner_german}, {german}.")
        english, german = f"{english_statement(outer)} {inner_english}", german_statement(outer)
        return Pair(f"{english}.", f"{german}, {inner_german}.")

    def reported(self) -> Pair:
        """I know that …; I do not know whether …"""
        rng = self._rng
        verb = rng.choice(self._verbs["clause"])
        mode = "present" if rng.random() < 0.7 else "past"
        asking = verb.name == "know" and rng.random() < 0.5
        outer = Clause(self._subject(asking), verb, mode, negated=asking)
        inner = self._dependent()
        english, german = ("whether", "ob") if asking else ("that", "dass")
        return Pair(
            f"{english_statement(outer)} {english} {english_statement(inner)}.",
            f"{german_statement(outer)}, {german} {german_verb_last(inner)}.",
        )

    def infinitive(self) -> Pair:
        """He tries to …"""
        verb = self._rng.choice(self._verbs["zu"])
        mode = "present" if self._rng.random() < 0.6 else "past"
        outer = Clause(self._subject(), verb, mode)
        inner = self._clause(subject=outer.subject, mode="present", full=False)
        return Pair(
            f"{english_statement(outer)} {english_infinitive(inner)}.",
            f"{german_statement(outer)}, {german_infinitive(inner)}.",
        )

    def question(self) -> Pair:
        """Does he …? Where does he …?"""
        rng = self._rng
        adverb = Pair("", "")
        verb = rng.choice(self._ordinary)
        if rng.random() < 0.4:
            there = "wohin" if "motion" in verb.government else "wo"
            adverb = rng.choice((Pair("where ", there + " "), *_ADVERBS))
        clause = self._clause(verb=verb, full=not adverb.english, placed=not adverb.english)
        return Pair(
            f"{adverb.english}{english_question(clause)}?", f"{adverb.german}{german_verb_first(clause)}?"
        )

    def subject_relative(self) -> Pair:
        """The man who … sleeps."""
        antecedent = self._noun_phrase(("person",), described=0.25)
        inner = self._clause(subject=relative_pronoun(antecedent), full=False)
        relative = Pair(f" {english_statement(inner)}", f", {german_verb_last(inner)},")
        return _full_stop(self._clause(subject=replace(antecedent, modifier=relative), full=False))

    def object_relative(self) -> Pair:
        """He buys the book that … needs."""
        verb, other = self._rng.choices(self._for_things, k=2)
        thing = self._thing(verb)
        self._note("verb", other.name, thing.noun)
        outer = Clause(self._subject(), verb, self._mode(), object=thing)
        inner = Clause(self._subject(), other, self._mode())
        gap = relative_pronoun(thing).german("acc")
        return Pair(
            f"{english_statement(outer)} that {english_statement(inner)}.",
            f"{german_statement(outer)}, {gap} {german_verb_last(inner)}.",
        )

    def anaphora(self) -> Pair:
        """He buys the book because he needs it."""
        verb, other = self._rng.choices(self._for_things, k=2)
        thing = self._noun_phrase(("thing",), described=0.3)
        self._note("verb", verb.name, thing.noun)
        mode = self._mode()
        outer = Clause(self._subject(), verb, mode, object=thing)
        pronoun = PRONOUNS["they"] if thing.plural else IT[thing.noun.gender]
        inner = Clause(self._subject(), other, mode, object=pronoun)
        english, german = self._rng.choice(_ONE_AFTER_ANOTHER)
        return Pair(
            f"{english_statement(outer)} {english} {english_statement(inner)}.",
            f"{german_statement(outer)}, {german} {german_verb_last(inner)}.",
        )


def _full_stop(clause: Clause) -> Pair:
    """A sentence of one main clause."""
    return Pair(f"{english_statement(clause)}.", f"{german_statement(clause)}.")


_TEMPLATES: tuple[tuple[Callable[[Sampler], Pair], int], ...] = (
    (Sampler.main, 38),
    (Sampler.description, 2),
    (Sampler.subordinate, 18),
    (Sampler.reported, 9),
    (Sampler.question, 13),
    (Sampler.infinitive, 6),
    (Sampler.subject_relative, 5),
    (Sampler.object_relative, 5),
    (Sampler.anaphora, 5),
)


def held_out_combinations() -> frozenset[Combination]:
    """One in twelve of the combinations, spread evenly over the words on both sides."""
    words = lexicon()
    pairs: dict[str, list[tuple[str, Sequence[str]]]] = {
        "adjective": [(word.english, word.kinds) for word in words.adjectives],
        "verb": [(verb.name, verb.object_kinds) for verb in words.verbs],
        "place": [(verb.name, ("place",)) for verb in words.verbs],
        "compound": [(english, ("furniture",)) for english, _ in words.modifiers],
    }
    return frozenset(
        (kind, word, noun.english[0])
        for kind, left in pairs.items()
        for i, (word, kinds) in enumerate(left)
        for j, noun in enumerate(words.nouns)
        if set(kinds) & set(noun.kinds) and (5 * i + 7 * j) % 12 == 0
    )
