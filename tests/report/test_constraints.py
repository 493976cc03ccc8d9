"""Constraints beside the figures that decide them."""

from typing import Any

import pytest

from hat.hardware.measuring.verdict import verdict
from hat.report import judgement_cell, judgement_sentence


def judgement(text: str, latency: float, low: float, high: float, limit: float) -> dict[str, Any]:
    figures = {"latency_ms": latency, "low_ms": low, "high_ms": high}
    return {"text": text, "milliseconds": limit, **figures, "verdict": verdict(latency, high, limit)}


@pytest.mark.parametrize(
    ("given", "cell"),
    [
        (("60%", 5.86, 5.79, 5.93, 6.0), "58.6 % of the largest, limit 60 %: met"),
        (("60.25%", 6.0249, 6.02, 6.025, 6.025), "60.25 % of the largest, limit 60.25 %: met"),
        (("60%", 6.0002, 5.9, 6.1, 6.0), "60.002 % of the largest, limit 60 %: not met"),
        (("12.26ms", 12.258, 12.2, 12.26, 12.26), "12.26 ms, limit 12.26 ms: met"),
        (("12.5ms", 12.5001, 12.4, 12.6, 12.5), "12.5001 ms, limit 12.5 ms: not met"),
        (("0.12345ms", 0.12341, 0.123, 0.1234, 0.12345), "0.12341 ms, limit 0.12345 ms: met"),
        (("60%", 6.0, 6.0, 6.0, 6.0), "60.0 % of the largest, limit 60 %: met"),
    ],
)
def test_a_figure_is_written_on_the_side_of_the_limit_where_it_is(
    given: tuple[str, float, float, float, float], cell: str
) -> None:
    assert judgement_cell(judgement(*given)) == cell


def test_the_end_of_an_interval_that_reaches_above_the_limit_is_written_above_it() -> None:
    told = judgement_sentence(judgement("60%", 5.99, 5.97, 6.0003, 6.0))
    assert told == "59.9 % of the largest (59.7 to 60.003), limit 60 %: not shown"
