"""sacreBLEU and chrF, with the signatures that make them comparable."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from hat.arguments import check_lines
from hat.errors import UserError
from hat.runtime import MosesOptions
from hat.runtime.tokenizer import Moses

COMPOUND = re.compile(r"(\S)-(\S)")


@dataclass(frozen=True)
class Scores:
    """Corpus scores from 0 to 100, cased and detokenised, each with sacreBLEU's signature.

    `length_ratio`: hypothesis tokens per reference token, as BLEU counts them.
    """

    bleu: float
    bleu_signature: str
    length_ratio: float
    chrf: float
    chrf_signature: str


def score(hypotheses: Iterable[str], references: Iterable[str]) -> Scores:
    """Score translations, one reference each. Raises UserError for unequal or no lines."""
    hypotheses, references = _paired_lines(hypotheses, references)
    bleu, chrf = BLEU(), CHRF()
    counted = bleu.corpus_score(hypotheses, [references])
    characters = chrf.corpus_score(hypotheses, [references])
    return Scores(
        bleu=float(counted.score),
        bleu_signature=str(bleu.get_signature()),
        length_ratio=counted.sys_len / max(counted.ref_len, 1),
        chrf=float(characters.score),
        chrf_signature=str(chrf.get_signature()),
    )


def _paired_lines(hypotheses: Iterable[str], references: Iterable[str]) -> tuple[list[str], list[str]]:
    translated, expected = text_lines(hypotheses), text_lines(references)
    if len(translated) != len(expected) or not expected:
        counts = f"{len(translated)} translations for {len(expected)} references"
        raise UserError(f"{counts}; scoring needs equally many, and at least one")
    return translated, expected


def text_lines(lines: Iterable[str]) -> list[str]:
    """`lines` as a list. Raises UserError for a single string, and for items that are not text."""
    check_lines(lines)
    listed = list(lines)
    for number, line in enumerate(listed, start=1):
        if not isinstance(line, str):
            raise UserError(f"line {number}: expected text, not {type(line).__name__}")
    return listed


def tokenised_bleu(
    hypotheses: Iterable[str], references: Iterable[str], language: str, lowercase: bool = False
) -> tuple[float, str]:
    """BLEU as HAT's authors report it, and a signature: of Moses' tokens, compounds split at dashes.

    The published scripts count the tokens that their models wrote; here detokenised text is tokenised again.
    The figures are comparable only with others counted in this way. Raises UserError as
    `score`, and without sacremoses.
    """
    hypotheses, references = _paired_lines(hypotheses, references)
    moses = Moses(language, MosesOptions(normalise=False, dash="", lowercase=lowercase))
    split, whole = ([_split_compounds(moses, line) for line in lines] for lines in (hypotheses, references))
    bleu = BLEU(tokenize="none", force=True)
    case = "lc" if lowercase else "mixed"
    value = float(bleu.corpus_score(split, [whole]).score)
    return value, f"nrefs:1|case:{case}|tok:moses-{language}+compounds|sacremoses:{version('sacremoses')}"


def _split_compounds(moses: Moses, line: str) -> str:
    return COMPOUND.sub(r"\1 ##AT##-##AT## \2", " ".join(moses.words(line)))
