"""The constraint that a report suggests next is one that the search can meet."""

import pytest

from hat.pipeline.outcome.suggestion import suggest


@pytest.mark.parametrize(
    ("least", "tried", "expected"),
    [
        (20.0, [60.0], "45%"),  # half-way from 25 %, which is 22 % rounded up
        (50.0, [60.0], "55%"),
        (50.0, [65.0], "60%"),
        (54.0, [60.0], "65%"),  # nothing tighter can be reached
        (20.0, [60.0, 30.0], "25%"),
        (20.0, [60.0, 45.0, 25.0], "30%"),
        (95.0, [97.0], None),
        (1.0, [10.0], "5%"),
    ],
)
def test_half_way_to_what_can_be_reached_or_else_looser(
    least: float, tried: list[float], expected: str | None
) -> None:
    found = suggest(least, tried)
    assert found == expected
    if found is not None:
        assert 1.09 * least < float(found.rstrip("%")) < 100
        assert float(found.rstrip("%")) not in tried
