"""Lines that people do send, though no corpus has them; none of them holds a line feed."""

FACE = "\U0001f600"
SENTENCE = "The old dog sleeps in the house."
FAMILY = "\u200d".join("\U0001f469\U0001f469\U0001f467\U0001f466")

BLANK = ["", " ", "\t \t", "\u00a0", "\u200b", "\u3000", "\u2028", "\ufeff", "\u00ad", "\u200e\u200f"]
CONTROLS = ["\x0b", "\x0c", "\x85", "\x01\x02", "\x7f", "\x1b[1mbold\x1b[0m", "a zero\x00byte", "half\rway"]
SENTENCES = [
    SENTENCE,
    SENTENCE.upper(),
    SENTENCE.lower(),
    SENTENCE.removesuffix("."),
    " ".join([SENTENCE] * 3),
    SENTENCE * 2,
    "soft\u00adly spoken",
    "one\ttwo\tthree",
    "p\u2028q\u2029r\x85s",
    "Caf\u00e9 na\u00efve \u00c4pfel",
    "Cafe\u0301 nai\u0308ve A\u0308pfel",  # the same letters, taken apart
    "\ufb01ne \ufb02ags",
    "\u202eright to left\u202c",
]
SYMBOLS = [
    FACE,
    FAMILY + "\U0001f3f3\ufe0f\u200d\U0001f308",
    f"The dog {FACE} sleeps.",
    " ".join([FACE] * 50),
    "\ufffd\ufffd",
    "\U0010ffff",
    "\ue000",
    "0123456789 2,500.75 \u20ac9.99 1/3 \u00bd",
    "\"double\" 'single' \u201ctypographic\u201d",
    "{braces} [brackets] <i>italic</i>",
    "&lt;escaped&gt; &amp; more",
    "x ||| y ||| z",
    "https://example.com/path?key=value#part",
    "somebody@example.com",
    "D:\\folder\\file",
]
SCRIPTS = [
    "\u660e\u65e5\u306f\u96e8\u3067\u3059\u3002",
    "\u0e27\u0e31\u0e19\u0e19\u0e35\u0e49",
    "\u0635\u0628\u0627\u062d \u0627\u0644\u062e\u064a\u0631",
    "\u05d1\u05d5\u05e7\u05e8 \u05d8\u05d5\u05d1",
    "\u0928\u092e\u0938\u094d\u0924\u0947",
    "\U0001d4d0\U0001d4d1\U0001d4d2",
    "\uff38\uff39\uff3a\u3000\uff14\uff15",
]
# As the tokenizers write their own marks.
MARKS = [
    *("<s>", "</s>", "<unk>", "<pad>", "<s> The </s> dog <unk> sleeps ."),
    *("\u2581", "\u2581\u2581", "The\u2581old\u2581dog", "\u2047", " \u2047 ", "sl@@ eeps"),
]
LONG = [
    " ".join(["house"] * 2000),
    "z" * 3000,
    " ".join([SENTENCE] * 60),
    "\u6c34" * 400,
    "The dog sleeps and " * 150,
]
ODD_LINES = [*BLANK, *CONTROLS, *SENTENCES, *SYMBOLS, *SCRIPTS, *MARKS, *LONG]
