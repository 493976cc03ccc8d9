"""Scores against sacreBLEU's own command-line conventions."""

import pytest

from hat.errors import UserError
from hat.evaluation import score, tokenised_bleu

REFERENCES = ["Der Hund schläft im Haus.", "Eine Katze läuft zum alten Baum."]


def test_perfect_and_empty() -> None:
    perfect = score(REFERENCES, REFERENCES)
    assert perfect.bleu == pytest.approx(100)
    assert perfect.chrf == pytest.approx(100)
    assert perfect.length_ratio == 1
    assert score(["", ""], REFERENCES).bleu == 0


def test_signatures_tell_how_it_was_counted() -> None:
    scores = score(REFERENCES, REFERENCES)
    assert scores.bleu_signature.startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert scores.chrf_signature.startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:")


def test_case_counts() -> None:
    assert score([line.lower() for line in REFERENCES], REFERENCES).bleu < 80


def test_unequal_lines() -> None:
    with pytest.raises(UserError, match="1 translations for 2 references"):
        score(REFERENCES[:1], REFERENCES)
    with pytest.raises(UserError, match="at least one"):
        score([], [])


def test_tokenised_bleu_splits_compounds() -> None:
    pytest.importorskip("sacremoses")
    reference = ["The well-known dog isn't here, it runs."]
    assert tokenised_bleu(reference, reference, "en")[0] == pytest.approx(100)
    # The halves of a compound count: "known" is right though the compound is not.
    half, _ = tokenised_bleu(["The best-known dog isn't here, it runs."], reference, "en")
    none, _ = tokenised_bleu(["The best dog isn't here, it runs."], reference, "en")
    assert 100 > half > none
    shouted = [reference[0].upper()]
    assert tokenised_bleu(shouted, reference, "en")[0] < 50
    found, signature = tokenised_bleu(shouted, reference, "en", lowercase=True)
    assert found == pytest.approx(100)
    assert signature.startswith("nrefs:1|case:lc|tok:moses-en+compounds|sacremoses:")
    with pytest.raises(UserError, match="1 translations for 0"):
        tokenised_bleu(["a"], [], "en")
