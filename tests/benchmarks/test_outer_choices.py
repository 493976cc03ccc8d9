"""The benchmark of beams and precisions: its fronts and its means."""

from itertools import product
from typing import Any

import pytest

from hat import zoo
from outer_choices import BEAMS, PRECISIONS, Evaluated, chosen, difference, front, markdown, ratio, spread

LARGEST = zoo.space("demo").largest()


def evaluated(*pairs: tuple[float, float]) -> list[Evaluated]:
    return [Evaluated(LARGEST, loss, latency) for loss, latency in pairs]


def rows() -> list[dict[str, Any]]:
    return [
        {
            "candidate": name,
            "precision": precision,
            "beam": beam,
            "loss": 2.0 - better,
            "chrf": 50 + 10 * better + beam,
            "milliseconds": (1 + better) * beam,
            "bytes": 1000 if precision == "int8" else 500,
        }
        for (name, better), precision, beam in product((("small", 0), ("large", 1)), PRECISIONS, BEAMS)
    ]


def test_the_front_has_no_candidate_that_is_slower_and_no_better() -> None:
    some = evaluated((3.0, 2.0), (2.0, 3.0), (2.5, 2.5), (2.5, 2.6), (2.1, 4.0))
    assert [(one.loss, one.latency) for one in front(some)] == [(3.0, 2.0), (2.5, 2.5), (2.0, 3.0)]


def test_candidates_are_spread_from_end_to_end() -> None:
    many = evaluated(*((1.0, float(place)) for place in range(9)))
    assert [one.latency for one in spread(many, 3)] == [0, 4, 8]
    assert [one.latency for one in spread(many, 1)] == [0]
    assert [one.latency for one in spread(many[:2], 5)] == [0, 1]


def test_choices_are_compared_within_each_candidate() -> None:
    assert difference(rows(), "chrf", beam=1) == pytest.approx(-4)
    assert ratio(rows(), "milliseconds", beam=1) == pytest.approx(1 / 5)
    assert ratio(rows(), "bytes", precision="4 bits") == pytest.approx(0.5)
    assert difference(rows(), "loss", precision="int8") == 0


def test_the_chosen_rows_are_the_front_of_quality_and_time() -> None:
    front_rows = [(row["candidate"], row["beam"]) for row in chosen(rows())]
    assert front_rows == [("small", 1), ("large", 1), *(("large", beam) for beam in (2, 3, 4, 5))]
    assert "| large | float32 | 5 | 65.0 | 10.000 |" in markdown(rows())
