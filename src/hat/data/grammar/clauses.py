"""One clause, spelt out in every word order that either language needs."""

from dataclasses import dataclass
from typing import NamedTuple

from hat.data.grammar.lexicon import Verb
from hat.data.grammar.phrases import NOTHING, Nominal, Pair, Pronoun
from hat.data.grammar.phrases import german_prepositional as _prepositional

AGREEMENTS = ("1s", "2s", "3s", "1p", "3p")


def _forms(words: str) -> dict[str, str]:
    return dict(zip(AGREEMENTS, words.split(), strict=True))


_ENGLISH_MODALS = ("can", "must", "should", "may", "will")
_GERMAN_MODALS = {
    "can": _forms("kann kannst kann können können"),
    "must": _forms("muss musst muss müssen müssen"),
    "should": _forms("sollte solltest sollte sollten sollten"),
    "may": _forms("darf darfst darf dürfen dürfen"),
    "will": _forms("werde wirst wird werden werden"),
    "want": _forms("will willst will wollen wollen"),
}
MODALS = tuple(_GERMAN_MODALS)
_AUXILIARIES = {"haben": _forms("habe hast hat haben haben"), "sein": _forms("bin bist ist sind sind")}
_BE = {"present": _forms("am are is are are"), "past": _forms("was were was were were")}
_SEIN = {"present": _AUXILIARIES["sein"], "past": _forms("war warst war waren waren")}


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause, of which both languages' word orders are made.

    `verb` None means "be" with the `predicate`. `mode` is present, past or one of MODALS.
    `front` stands before the German finite verb in a main clause, in place of the subject.
    """

    subject: Nominal
    verb: Verb | None
    mode: str = "present"
    negated: bool = False
    object: Nominal | None = None
    recipient: Nominal | None = None
    time: Pair = NOTHING
    company: Pair = NOTHING  # with or for whom
    place: Pair = NOTHING
    predicate: Pair = NOTHING
    front: Pair = NOTHING


class _Verbal(NamedTuple):
    first: str  # the word that agrees and moves (German), or the auxiliary (English)
    rest: str


def _join(*parts: str) -> str:
    return " ".join(filter(None, parts))


# English


def _english_verbal(clause: Clause, question: bool) -> _Verbal:
    """Auxiliary (empty where English has none) and main verb."""
    agreement, verb, mode = clause.subject.agreement, clause.verb, clause.mode
    negation = " not" if clause.negated else ""
    if verb is None:
        return _Verbal(_BE[mode][agreement] + negation, "")
    if mode in _ENGLISH_MODALS:
        return _Verbal(mode + ("not" if mode == "can" and negation else negation), verb.base)
    third = agreement == "3s" and mode != "past"
    if negation or question:
        auxiliary = "did" if mode == "past" else "does" if third else "do"
        return _Verbal(auxiliary + negation, ("want to " if mode == "want" else "") + verb.base)
    if mode == "want":
        return _Verbal("", f"{'wants' if third else 'want'} to {verb.base}")
    return _Verbal("", verb.past if mode == "past" else verb.third if third else verb.base)


def _english_rest(clause: Clause) -> str:
    """All that follows the main verb."""
    verb, thing = clause.verb, clause.object
    recipient = clause.recipient.english(True) if clause.recipient else ""
    words = thing.english(True) if thing else ""
    if verb is not None:
        if isinstance(thing, Pronoun):
            words = _join(verb.preposition, words, verb.particle)
        else:
            words = _join(verb.particle, verb.preposition, recipient, words)
    adverbials = (clause.predicate, clause.place, clause.company, clause.time)
    return _join(words, *(adverbial.english for adverbial in adverbials))


def english_statement(clause: Clause) -> str:
    """Subject first, or after the fronted adverbial: "today the man sleeps"."""
    front = clause.front.english
    comma = "," if " " in front else ""
    verbal = _english_verbal(clause, question=False)
    subject = clause.subject.english(False)
    return _join(front + comma, subject, *verbal, _english_rest(clause))


def english_question(clause: Clause) -> str:
    """Auxiliary first: "does the man sleep"."""
    auxiliary, main = _english_verbal(clause, question=True)
    return _join(auxiliary, clause.subject.english(False), main, _english_rest(clause))


def english_infinitive(clause: Clause) -> str:
    """The infinitive clause, without a subject: "to open the door"."""
    assert clause.verb is not None
    return _join("to", clause.verb.base, _english_rest(clause))


# German


def _present(verb: Verb, agreement: str) -> str:
    return (*verb.singular, verb.infinitive, verb.infinitive)[AGREEMENTS.index(agreement)]


def _german_verbal(clause: Clause) -> _Verbal:
    """The finite verb, and the words at the end of the clause before (or without) it."""
    agreement, verb, mode = clause.subject.agreement, clause.verb, clause.mode
    if verb is None:
        return _Verbal(_SEIN[mode][agreement], "")
    if mode == "present":
        return _Verbal(_present(verb, agreement), verb.prefix)
    if mode == "past":
        return _Verbal(_AUXILIARIES[verb.auxiliary][agreement], verb.prefix + verb.participle)
    return _Verbal(_GERMAN_MODALS[mode][agreement], verb.prefix + verb.infinitive)


def _german_middle(clause: Clause) -> str:
    """The part between the subject and the verbs at the end.

    Pronouns, time, dative, accusative, nicht, then all that belongs closer to the verb.
    """
    pronouns: list[str] = []
    full: list[str] = []
    bound = ""
    negation = "nicht" if clause.negated else ""
    if clause.recipient:
        words = clause.recipient.german("dat")
        (pronouns if isinstance(clause.recipient, Pronoun) else full).append(words)
    if clause.object and clause.verb:
        case, preposition = clause.verb.object_case, clause.verb.object_preposition
        if preposition:
            bound = _prepositional(preposition, case, clause.object)
        elif isinstance(clause.object, Pronoun):
            pronouns.append(clause.object.german(case))
        else:
            full.append(clause.object.german(case, negative=clause.negated))
            negation = "" if clause.object.negatable else negation
    adverbials = (clause.company.german, clause.place.german, clause.predicate.german)
    return _join(*pronouns, clause.time.german, *full, negation, bound, *adverbials)


def german_statement(clause: Clause) -> str:
    """Verb second: "heute macht der Mann die Tür auf"."""
    if clause.front.german:
        return f"{clause.front.german} {german_verb_first(clause)}"
    finite, end = _german_verbal(clause)
    return _join(clause.subject.german("nom"), finite, _german_middle(clause), end)


def german_verb_first(clause: Clause) -> str:
    """The order of questions, and after a fronted phrase or clause: "macht der Mann die Tür auf"."""
    finite, end = _german_verbal(clause)
    return _join(finite, clause.subject.german("nom"), _german_middle(clause), end)


def german_verb_last(clause: Clause) -> str:
    """The order of subordinate clauses: "der Mann die Tür aufmacht"."""
    finite, end = _german_verbal(clause)
    subject, middle = clause.subject.german("nom"), _german_middle(clause)
    if clause.mode == "present" and clause.verb is not None:
        return _join(subject, middle, end + finite)
    return _join(subject, middle, end, finite)


def german_infinitive(clause: Clause) -> str:
    """The infinitive clause, without a subject: "die Tür aufzumachen"."""
    assert clause.verb is not None
    verb = clause.verb
    joined = f"{verb.prefix}zu{verb.infinitive}" if verb.prefix else f"zu {verb.infinitive}"
    return _join(_german_middle(clause), joined)
