"""A constraint beside the figure that decides on it, in the constraint's own unit.

A judgement is data: `text` of the constraint, `latency_ms` with its interval `low_ms` and `high_ms`, the
constraint in `milliseconds` of the same series of rounds, and the `verdict` (None: predicted only).
"""

from collections.abc import Mapping
from typing import Any

Judgement = Mapping[str, Any]
MOST_DECIMALS = 9


def judgement_cell(judgement: Judgement) -> str:
    """`58.6 % of the largest, limit 60 %: met`."""
    return f"{_figure(judgement)}, {_end(judgement)}"


def judgement_sentence(judgement: Judgement) -> str:
    """`58.6 % of the largest (57.9 to 59.3), limit 60 %: met`."""
    low, high = (_number(judgement, judgement[name]) for name in ("low_ms", "high_ms"))
    bounds = "" if judgement["verdict"] is None else f" ({low} to {high})"
    return f"{_figure(judgement)}{bounds}, {_end(judgement)}"


def of_limit(judgement: Judgement, share: float) -> str:
    """A share of the limit, in the unit of the constraint."""
    return f"{_number(judgement, share * judgement['milliseconds'])} {_unit(judgement)}"


def milliseconds(value: float) -> str:
    """Milliseconds with enough decimals to tell latencies of that size apart."""
    return f"{value:.{decimals(value)}f}"


def decimals(value: float) -> int:
    """The number of decimals that gives milliseconds three significant digits."""
    return 1 if value >= 10 else 2 if value >= 1 else 3


def _figure(judgement: Judgement) -> str:
    of = " of the largest" if _relative(judgement) else ""
    return f"{_number(judgement, judgement['latency_ms'])} {_unit(judgement)}{of}"


def _end(judgement: Judgement) -> str:
    verdict = judgement["verdict"] or "predicted only"
    return f"limit {_limit(judgement)} {_unit(judgement)}: {verdict}"


def _number(judgement: Judgement, value_ms: float) -> str:
    """In the constraint's unit, with as many decimals as tell on which side of the limit it is."""
    limit = float(_limit(judgement))
    value = value_ms / judgement["milliseconds"] * limit
    written = len(_limit(judgement).partition(".")[2])
    places = max(1 if _relative(judgement) else decimals(value), written)
    while places < MOST_DECIMALS and (float(f"{value:.{places}f}") > limit) != (
        value_ms > judgement["milliseconds"]
    ):
        places += 1
    return f"{value:.{places}f}"


def _limit(judgement: Judgement) -> str:
    return str(judgement["text"].removesuffix(_unit(judgement)))


def _unit(judgement: Judgement) -> str:
    return "%" if _relative(judgement) else "ms"


def _relative(judgement: Judgement) -> bool:
    return bool(judgement["text"].endswith("%"))
