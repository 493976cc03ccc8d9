"""Cardinal and ordinal number words."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_ENGLISH = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
_ENGLISH_TENS = _words("- - twenty thirty forty fifty sixty seventy eighty ninety")
_GERMAN = _words(
    "null ein zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn "
    "fünfzehn sechzehn siebzehn achtzehn neunzehn"
)
_GERMAN_TENS = _words("- - zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig")
_ENGLISH_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
    "twenty": "twentieth",
    "thirty": "thirtieth",
}
_GERMAN_ORDINALS = {1: "ersten", 3: "dritten", 7: "siebten", 8: "achten"}


def english_cardinal(number: int) -> str:
    """2 to 999 in words: three hundred and forty-five."""
    hundreds, rest = divmod(number, 100)
    if hundreds:
        head = f"{_ENGLISH[hundreds]} hundred"
        return f"{head} and {english_cardinal(rest)}" if rest else head
    if number < 20:
        return _ENGLISH[number]
    tens, ones = divmod(number, 10)
    return f"{_ENGLISH_TENS[tens]}-{_ENGLISH[ones]}" if ones else _ENGLISH_TENS[tens]


def german_cardinal(number: int) -> str:
    """2 to 999 as the one word that stands before a noun: dreihundertfünfundvierzig.

    Numbers that end in 01 are left to the caller to avoid: there German inflects the "ein".
    """
    hundreds, rest = divmod(number, 100)
    if hundreds:
        head = f"{_GERMAN[hundreds] if hundreds > 1 else ''}hundert"
        return head + german_cardinal(rest) if rest else head
    if number < 20:
        return _GERMAN[number]
    tens, ones = divmod(number, 10)
    return f"{_GERMAN[ones]}und{_GERMAN_TENS[tens]}" if ones else _GERMAN_TENS[tens]


def english_ordinal(number: int) -> str:
    """1 to 31: twenty-first."""
    head, dash, last = english_cardinal(number).rpartition("-")
    return f"{head}{dash}{_ENGLISH_ORDINALS.get(last, last + 'th')}"


def german_ordinal(number: int) -> str:
    """1 to 31 in the weak dative: einundzwanzigsten."""
    ending = "ten" if number < 20 else "sten"
    return _GERMAN_ORDINALS.get(number, german_cardinal(number) + ending)
