"""A limit beside the figure that decides on it, in the limit's own unit.

A judgement is data: the name of the `cost`, the `text` of the limit, the figure's `value` with its interval
`low` and `high`, the `limit` in the same unit as these, and the `verdict` (None: predicted only).
"""

from collections.abc import Mapping, Sequence
from typing import Any

Judgement = Mapping[str, Any]
MOST_DECIMALS = 9
LATENCY = "latency"


def judgement_cell(judgements: Sequence[Judgement]) -> str:
    """`58.6 % of the largest, limit 60 %: met`; costs are named unless the latency is the only one."""
    return "; ".join(f"{cost_name(one, judgements)}{_figure(one)}, {_end(one)}" for one in judgements)


def judgement_sentences(judgements: Sequence[Judgement]) -> list[str]:
    """`58.6 % of the largest (57.9 to 59.3), limit 60 %: met`, one for each judgement."""
    return [f"{cost_name(one, judgements)}{_figure(one)}{_bounds(one)}, {_end(one)}" for one in judgements]


def of_limit(judgement: Judgement, share: float) -> str:
    """A share of the limit, in the unit of the limit."""
    return f"{_number(judgement, share * judgement['limit'])} {_unit(judgement)}".rstrip()


def milliseconds(value: float, size: float) -> str:
    """Milliseconds with enough decimals to tell latencies of this size apart."""
    return f"{value:.{decimals(size)}f}"


def decimals(value: float) -> int:
    """The number of decimals that gives a figure three significant digits."""
    return 1 if value >= 10 else 2 if value >= 1 else 3


def cost_name(judgement: Judgement, judgements: Sequence[Judgement]) -> str:
    """The name of a judged cost and a space; empty if the latency is the only cost."""
    return "" if [one["cost"] for one in judgements] == [LATENCY] else f"{judgement['cost']} "


def _figure(judgement: Judgement) -> str:
    reference = " of the largest" if _unit(judgement) == "%" else ""
    return f"{of_limit(judgement, judgement['value'] / judgement['limit'])}{reference}"


def _bounds(judgement: Judgement) -> str:
    low, high = (_number(judgement, judgement[name]) for name in ("low", "high"))
    exact = judgement["low"] == judgement["value"] == judgement["high"] and judgement["cost"] != LATENCY
    return "" if exact or judgement["verdict"] is None else f" ({low} to {high})"


def _end(judgement: Judgement) -> str:
    verdict = judgement["verdict"] or "predicted only"
    limit = f"{_limit(judgement)} {_unit(judgement)}".rstrip()
    return f"limit {limit}: {verdict}"


def _number(judgement: Judgement, figure: float) -> str:
    """A figure in the limit's unit, with enough decimals to show on which side of the limit it is."""
    limit = float(_limit(judgement))
    value = figure / judgement["limit"] * limit
    written = len(_limit(judgement).partition(".")[2])
    places = max(1 if _unit(judgement) == "%" else decimals(value), written)
    while places < MOST_DECIMALS and (float(f"{value:.{places}f}") > limit) != (figure > judgement["limit"]):
        places += 1
    return f"{value:.{places}f}"


def _limit(judgement: Judgement) -> str:
    return str(judgement["text"].removesuffix(_unit(judgement)))


def _unit(judgement: Judgement) -> str:
    return str(judgement["text"].lstrip("0123456789."))
