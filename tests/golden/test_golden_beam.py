"""The hypotheses of the published beam search."""

import pytest

from hat.model import beam_search
from tests.golden.golden_case import SETTINGS, every_case, read_case


@every_case
@pytest.mark.parametrize("setting", SETTINGS)
def test_hypotheses(tag: str, case: str, setting: str) -> None:
    golden = read_case(tag, case)
    model = golden.network.extract(golden.architecture)
    results = beam_search(model, golden.source, SETTINGS[setting])
    counts = golden.arrays[f"gen_{setting}_nhyp"]
    assert [len(hypotheses) for hypotheses in results] == counts.tolist()
    for sentence, hypotheses in enumerate(results):
        for rank, hypothesis in enumerate(hypotheses):
            stem = f"gen_{setting}_s{sentence}_h{rank}"
            assert list(hypothesis.tokens) == golden.arrays[f"{stem}_tokens"].tolist()
            assert hypothesis.score == pytest.approx(golden.arrays[f"{stem}_score"], rel=1e-5)
            token_scores = golden.arrays[f"{stem}_pos"].tolist()
            assert hypothesis.token_scores == pytest.approx(token_scores, abs=1e-5)
