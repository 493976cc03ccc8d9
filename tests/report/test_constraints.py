"""Constraints beside the figures that decide them."""

from typing import Any

import pytest

from hat.hardware.measuring.verdict import verdict
from hat.report import judgement_cell, judgement_sentences


def judgement(
    text: str, value: float, low: float, high: float, limit: float, cost: str = "latency"
) -> dict[str, Any]:
    figures = {"value": value, "low": low, "high": high}
    return {"cost": cost, "text": text, "limit": limit, **figures, "verdict": verdict(value, high, limit)}


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
    assert judgement_cell([judgement(*given)]) == cell


def test_the_end_of_an_interval_that_reaches_above_the_limit_is_written_above_it() -> None:
    (told,) = judgement_sentences([judgement("60%", 5.99, 5.97, 6.0003, 6.0)])
    assert told == "59.9 % of the largest (59.7 to 60.003), limit 60 %: not shown"


def test_every_cost_but_the_latency_alone_is_named_in_the_unit_of_its_limit() -> None:
    latency = judgement("60%", 5.5, 5.4, 5.6, 6.0)
    memory = judgement("64MB", 61.2e6, 61e6, 65e6, 64e6, "memory")
    weights = judgement("3M", 2.25e6, 2.25e6, 2.25e6, 3e6, "parameters")
    assert judgement_cell([latency, memory]) == (
        "latency 55.0 % of the largest, limit 60 %: met; memory 61.2 MB, limit 64 MB: not shown"
    )
    assert judgement_sentences([memory, weights]) == [
        "memory 61.2 MB (61.0 to 65.0), limit 64 MB: not shown",
        "parameters 2.25 M, limit 3 M: met",
    ]
    whole = judgement("250000", 250001, 250001, 250001, 250000, "flops")
    assert judgement_cell([whole]) == "flops 250001.0, limit 250000: not met"
