"""sacreBLEU and chrF, with the signatures that make them comparable."""

from collections.abc import Sequence
from dataclasses import dataclass

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from hat.errors import UserError


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


def score(hypotheses: Sequence[str], references: Sequence[str]) -> Scores:
    """Score translations, one reference each. Raises UserError for unequal or no lines."""
    if len(hypotheses) != len(references) or not references:
        raise UserError(
            f"{len(hypotheses)} translations for {len(references)} references; "
            "scoring needs equally many, and at least one"
        )
    bleu, chrf = BLEU(), CHRF()
    counted = bleu.corpus_score(hypotheses, [references])
    characters = chrf.corpus_score(hypotheses, [references])
    return Scores(
        float(counted.score),
        str(bleu.get_signature()),
        counted.sys_len / max(counted.ref_len, 1),
        float(characters.score),
        str(chrf.get_signature()),
    )
