"""The built-in corpus: correct German, disjoint parts, unseen combinations, not a trivial task."""

import importlib.util
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from hat.data import builtin
from hat.data.grammar import adverbials, sampling
from hat.data.grammar.clauses import (
    Clause,
    english_infinitive,
    english_question,
    english_statement,
    german_infinitive,
    german_statement,
    german_verb_first,
    german_verb_last,
)
from hat.data.grammar.lexicon import lexicon
from hat.data.grammar.numbers import (
    english_cardinal,
    english_ordinal,
    german_cardinal,
    german_ordinal,
)
from hat.data.grammar.phrases import (
    IT,
    PRONOUNS,
    NounPhrase,
    Pair,
    direction,
    location,
    prepositional,
    relative_pronoun,
)
from hat.data.settings import BuiltinSizes
from hat.errors import UserError

WORDS = lexicon()
VERBS = {verb.name: verb for verb in WORDS.verbs}


def phrase(determiner: str | int | NounPhrase, *words: str, plural: bool = False) -> NounPhrase:
    """`phrase("the", "old", "man")`; a compound's halves are joined by a hyphen."""
    *adjectives, noun = words
    modifier, _, head = noun.rpartition("-")
    nouns = {word.english[0]: word for word in WORDS.nouns}
    lexeme = WORDS.compounds[modifier, head] if modifier else nouns[noun]
    described = {word.english: word for word in WORDS.adjectives}
    return NounPhrase(lexeme, determiner, plural, tuple(described[word] for word in adjectives))


ME, YOU, HE, SHE, WE, THEY = (PRONOUNS[word] for word in ("I", "you", "he", "she", "we", "they"))
TEACHER = phrase("the", "teacher")

STATEMENTS = [
    # Cases, genders and the three declensions.
    (
        Clause(phrase("the", "old", "man"), VERBS["buy"], object=phrase("a", "red", "apple")),
        "the old man buys a red apple",
        "der alte Mann kauft einen roten Apfel",
    ),
    (
        Clause(phrase("a", "old", "aunt"), VERBS["help"], object=phrase("this", "sick", "child")),
        "an old aunt helps this sick child",
        "eine alte Tante hilft diesem kranken Kind",
    ),
    (
        Clause(THEY, VERBS["drink"], object=phrase("", "cold", "water")),
        "they drink cold water",
        "sie trinken kaltes Wasser",
    ),
    (
        Clause(
            phrase("my", "friendly", "brother"),
            VERBS["give"],
            recipient=phrase("our", "small", "child"),
            object=phrase("", "green", "picture", plural=True),
        ),
        "my friendly brother gives our small child green pictures",
        "mein freundlicher Bruder gibt unserem kleinen Kind grüne Bilder",
    ),
    (
        Clause(SHE, VERBS["play with"], object=phrase(21, "old", "key", plural=True)),
        "she plays with twenty-one old keys",
        "sie spielt mit einundzwanzig alten Schlüsseln",
    ),
    (
        Clause(HE, VERBS["see"], object=phrase(TEACHER, "black", "horse")),
        "he sees the teacher's black horse",
        "er sieht das schwarze Pferd des Lehrers",
    ),
    # Pronouns.
    (
        Clause(ME, VERBS["show"], recipient=HE, object=phrase("every", "kitchen-clock")),
        "I show him every kitchen clock",
        "ich zeige ihm jede Küchenuhr",
    ),
    (
        Clause(WE, VERBS["wait for"], object=THEY),
        "we wait for them",
        "wir warten auf sie",
    ),
    # Separable verbs, perfect, modals.
    (
        Clause(YOU, VERBS["open"], object=phrase("the", "garden-door")),
        "you open the garden door",
        "du machst die Gartentür auf",
    ),
    (
        Clause(YOU, VERBS["pick up"], "past", object=HE),
        "you picked him up",
        "du hast ihn abgeholt",
    ),
    (
        Clause(THEY, VERBS["get up"], "past", time=adverbials.date(3, 3)),
        "they got up on the third of March",
        "sie sind am dritten März aufgestanden",
    ),
    (
        Clause(SHE, VERBS["invite"], "want", object=phrase("the", "girl", plural=True)),
        "she wants to invite the girls",
        "sie will die Mädchen einladen",
    ),
    # Verb second after a fronted phrase.
    (
        Clause(
            TEACHER,
            VERBS["sell"],
            "past",
            object=phrase(345, "book", plural=True),
            front=adverbials.span(21, Pair("days", "Tagen"), past=True),
        ),
        "twenty-one days ago, the teacher sold three hundred and forty-five books",
        "vor einundzwanzig Tagen hat der Lehrer dreihundertfünfundvierzig Bücher verkauft",
    ),
    (
        Clause(YOU, VERBS["arrive"], "will", front=Pair("tomorrow", "morgen")),
        "tomorrow you will arrive",
        "morgen wirst du ankommen",
    ),
    # Negation.
    (
        Clause(ME, VERBS["need"], negated=True, object=phrase("a", "new", "coat")),
        "I do not need a new coat",
        "ich brauche keinen neuen Mantel",
    ),
    (
        Clause(HE, VERBS["close"], "past", negated=True, object=phrase("the", "box")),
        "he did not close the box",
        "er hat die Kiste nicht zugemacht",
    ),
    (
        Clause(WE, VERBS["go"], "can", negated=True, place=direction(phrase("the", "garden"))),
        "we cannot go into the garden",
        "wir können nicht in den Garten gehen",
    ),
    # Prepositions: location and direction, contractions, order of adverbials.
    (
        Clause(
            phrase("the", "man", plural=True),
            VERBS["work"],
            "past",
            place=location(phrase("the", "quiet", "office")),
            company=prepositional("with", "mit", "dat", phrase("the", "sister", plural=True)),
            time=Pair("yesterday", "gestern"),
        ),
        "the men worked in the quiet office with the sisters yesterday",
        "die Männer haben gestern mit den Schwestern im ruhigen Büro gearbeitet",
    ),
    (
        Clause(ME, VERBS["drive"], place=direction(phrase("the", "bridge"))),
        "I drive to the bridge",
        "ich fahre zur Brücke",
    ),
    (
        Clause(SHE, VERBS["dream of"], object=phrase("the", "king")),
        "she dreams of the king",
        "sie träumt vom König",
    ),
]


@pytest.mark.parametrize(("clause", "english", "german"), STATEMENTS)
def test_statement(clause: Clause, english: str, german: str) -> None:
    assert english_statement(clause) == english
    assert german_statement(clause) == german


QUESTIONS = [
    (
        Clause(phrase("the", "gardener"), VERBS["call"], object=phrase("my", "father")),
        "does the gardener call my father",
        "ruft der Gärtner meinen Vater an",
    ),
    (
        Clause(YOU, VERBS["follow"], "past", object=phrase("the", "dog", plural=True)),
        "did you follow the dogs",
        "bist du den Hunden gefolgt",
    ),
    (Clause(WE, VERBS["stay"], "must"), "must we stay", "müssen wir bleiben"),
]


@pytest.mark.parametrize(("clause", "english", "german"), QUESTIONS)
def test_question(clause: Clause, english: str, german: str) -> None:
    assert english_question(clause) == english
    assert german_verb_first(clause) == german


SUBORDINATES = [
    (
        Clause(SHE, VERBS["throw away"], object=phrase("the", "letter")),
        "she throws away the letter",
        "sie den Brief wegwirft",
    ),
    (
        Clause(HE, VERBS["look at"], "past", object=IT["f"]),
        "he looked at it",
        "er sie angesehen hat",
    ),
    (
        Clause(ME, VERBS["hand in"], "should", object=IT["n"]),
        "I should hand it in",
        "ich es abgeben sollte",
    ),
    (
        Clause(phrase("the", "house"), None, negated=True, predicate=Pair("big", "groß")),
        "the house is not big",
        "das Haus nicht groß ist",
    ),
]


@pytest.mark.parametrize(("clause", "english", "german"), SUBORDINATES)
def test_verb_goes_last(clause: Clause, english: str, german: str) -> None:
    assert english_statement(clause) == english
    assert german_verb_last(clause) == german


def test_infinitive_of_separable_and_other_verbs() -> None:
    close = Clause(HE, VERBS["close"], object=phrase("this", "window"))
    assert english_infinitive(close) == "to close this window"
    assert german_infinitive(close) == "dieses Fenster zuzumachen"
    assert german_infinitive(Clause(HE, VERBS["thank"], object=SHE)) == "ihr zu danken"


def test_relative_clause_agrees_with_its_antecedent() -> None:
    women = phrase("the", "woman", plural=True)
    clause = Clause(relative_pronoun(women), VERBS["fall asleep"])
    assert english_statement(clause) == "who fall asleep"
    assert german_verb_last(clause) == "die einschlafen"
    assert relative_pronoun(phrase("a", "hat")).german("acc") == "den"


@pytest.mark.parametrize(
    ("number", "english", "german"),
    [
        (7, "seven", "sieben"),
        (16, "sixteen", "sechzehn"),
        (30, "thirty", "dreißig"),
        (77, "seventy-seven", "siebenundsiebzig"),
        (100, "one hundred", "hundert"),
        (612, "six hundred and twelve", "sechshundertzwölf"),
        (999, "nine hundred and ninety-nine", "neunhundertneunundneunzig"),
    ],
)
def test_cardinals(number: int, english: str, german: str) -> None:
    assert english_cardinal(number) == english
    assert german_cardinal(number) == german


def test_ordinals() -> None:
    assert [german_ordinal(day) for day in (1, 7, 8, 19, 20, 31)] == [
        "ersten",
        "siebten",
        "achten",
        "neunzehnten",
        "zwanzigsten",
        "einunddreißigsten",
    ]
    assert [english_ordinal(day) for day in (2, 9, 12, 20, 23, 31)] == [
        "second",
        "ninth",
        "twelfth",
        "twentieth",
        "twenty-third",
        "thirty-first",
    ]


# The corpus


@pytest.fixture(scope="module")
def corpus() -> builtin.BuiltinCorpus:
    return builtin.generate(seed=3, train=12_000, valid=150, test=300)


def test_sentences_are_spelt_like_sentences(corpus: builtin.BuiltinCorpus) -> None:
    for pair in corpus.train:
        for sentence in pair:
            assert sentence[0].isupper()
            assert sentence[-1] in ".?"
            assert sentence == " ".join(sentence.split())
            assert ",." not in sentence
            assert " ," not in sentence


def test_parts_are_disjoint_on_both_sides(corpus: builtin.BuiltinCorpus) -> None:
    assert [len(part) for part in corpus] == [12_000, 150, 300]
    for side in (0, 1):
        sentences = [pair[side] for part in corpus for pair in part]
        assert len(set(sentences)) == len(sentences)


def test_same_seed_same_corpus() -> None:
    first, second = (builtin.generate(5, train=400, valid=20, test=20) for _ in range(2))
    assert first == second
    assert builtin.generate(6, train=400, valid=20, test=20) != first


def test_held_out_combinations_stay_out_of_training() -> None:
    held_out, sampler = sampling.held_out_combinations(), _sampler(8)
    met: Counter[tuple[str, str]] = Counter()
    unseen = set()
    for sentence in (sampler.sentence() for _ in range(12_000)):
        if sentence.combinations.isdisjoint(held_out):
            for kind, word, noun in sentence.combinations:
                met[kind, word] += 1
                met[kind, noun] += 1
        else:
            unseen |= sentence.combinations & held_out
    assert len(unseen) > 0.9 * len(held_out & _possible())
    for kind, word, noun in unseen:
        assert met[kind, word] > 0
        assert met[kind, noun] > 0


def _sampler(seed: int) -> sampling.Sampler:
    return sampling.Sampler(builtin.Random(seed))


def _possible() -> frozenset[sampling.Combination]:
    """Held-out combinations that the grammar draws: only some verbs take a place."""
    placed = {verb.name for verb in WORDS.verbs if {"rest", "motion"} & set(verb.government)}
    return frozenset(
        combination
        for combination in sampling.held_out_combinations()
        if combination[0] != "place" or combination[1] in placed
    )


def test_test_sentences_hold_an_unseen_combination() -> None:
    held_out, sampler = sampling.held_out_combinations(), _sampler(3)
    corpus = builtin.generate(3, train=500, valid=30, test=30)
    by_english = {
        sentence.english: sentence.combinations for sentence in (sampler.sentence() for _ in range(3000))
    }
    assert all(by_english[english].isdisjoint(held_out) for english, _ in corpus.train)
    for english, _ in corpus.valid + corpus.test:
        assert by_english[english] & held_out


def test_every_word_is_frequent(corpus: builtin.BuiltinCorpus) -> None:
    english = Counter(word for sentence, _ in corpus.train for word in sentence.lower().strip(".?").split())
    for noun in WORDS.nouns:
        assert english[noun.english[0]] >= 12
    for adjective in WORDS.adjectives:
        assert english[adjective.english] >= 12
    for verb in WORDS.verbs:
        assert sum(english[form] for form in (verb.base, verb.third, verb.past)) >= 12


def test_files_hold_the_corpus(tmp_path: Path) -> None:
    corpora = builtin.write_builtin(tmp_path, BuiltinSizes(train=50, valid=5, test=5), seed=2)
    corpus = builtin.generate(2, train=50, valid=5, test=5)
    assert corpora.train[0].source == tmp_path / "train.en"
    german = (tmp_path / "test.de").read_text(encoding="utf-8").splitlines()
    assert german == [pair[1] for pair in corpus.test]


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(UserError, match="valid must be at least 0, not -1"):
        builtin.generate(1, train=10, valid=-1, test=10)


def test_progress_ends_at_the_total() -> None:
    calls: list[tuple[float, float]] = []
    builtin.generate(
        1, train=50, valid=5, test=5, progress=lambda done, total, note: calls.append((done, total))
    )
    assert calls[-1] == (60, 60)


def _difficulty() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "corpus_difficulty.py"
    spec = importlib.util.spec_from_file_location("corpus_difficulty", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_task_is_not_trivial(corpus: builtin.BuiltinCorpus) -> None:
    pytest.importorskip("sacrebleu")
    pytest.importorskip("scipy")
    small = builtin.BuiltinCorpus(corpus.train, [], corpus.test[:100])
    report = _difficulty().difficulty(small)
    assert report["nearest neighbour"]["best"] <= 50
    assert report["word by word"]["best"] <= 32
