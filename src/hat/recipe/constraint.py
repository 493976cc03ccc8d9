"""A constraint of a recipe: limits on costs that one model keeps together.

`latency=40ms and memory=64MB`, `size=60%` of the largest SubTransformer's; a limit without a name is on the
latency: `60%`, `40ms`.
"""

import re
from dataclasses import dataclass

from hat.errors import shown
from hat.search.objectives import LATENCY, OBJECTIVES, Objective

LIMIT = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{0,9})?)\s*([A-Za-z%]*)\s*")
COSTS = ", ".join(f"{one.name} ({one.about})" for one in OBJECTIVES.values())
AND = re.compile(r"\s+and\s+")


@dataclass(frozen=True)
class Limit:
    """The largest allowed value of an objective: in its unit, or, if `relative`, as a share of the largest
    SubTransformer's. `text`: the limit as written, without the objective's name."""

    objective: Objective
    text: str
    value: float
    relative: bool

    @classmethod
    def parse(cls, text: str) -> "Limit":
        """Read `60%`, `latency=40ms`, `size=8MB`. Raises ValueError."""
        if "," in text:
            raise ValueError(f"{shown(text)}: limits of one model are joined by `and`, not by commas")
        name, equals, limit = text.partition("=")
        name = name.strip() if equals else LATENCY.name
        if name not in OBJECTIVES:
            costs = ", ".join(OBJECTIVES)
            raise ValueError(f"{shown(text)}: no cost is called {shown(name)}; the costs are {costs}")
        objective = OBJECTIVES[name]
        match = LIMIT.fullmatch(limit if equals else text)
        number, unit = match.groups() if match else ("0", "")
        if unit not in (*objective.units, "%") or not float(number) > 0:
            example = number if float(number) > 0 else "60"
            examples = ", ".join(example + unit for unit in objective.units)
            why = ": the unit is missing" if match and not unit else ""
            raise ValueError(
                f"{shown(text)} is not a limit on {name}{why}; "
                f"write it like {examples}, or {example}% of the largest's"
            )
        relative = unit == "%"
        value = float(number) / 100 if relative else float(number) * objective.units[unit]
        return cls(objective, f"{number}{unit}", value, relative)

    def of(self, largest: float) -> float:
        """The limit in the unit of the objective, given the largest SubTransformer's figure."""
        return self.value * largest if self.relative else self.value

    @property
    def label(self) -> str:
        """The limit in the name of a model."""
        text = self.text.replace("%", "pct")
        return text if self.objective is LATENCY else f"{self.objective.name}-{text}"


@dataclass(frozen=True)
class Constraint:
    """The limits that one model keeps together, at most one of each objective, in the objectives' order."""

    limits: tuple[Limit, ...]

    @classmethod
    def parse(cls, text: object) -> "Constraint":
        """Read limits joined by `and`. Raises ValueError."""
        limits = [Limit.parse(part) for part in AND.split(str(text))]
        names = [limit.objective.name for limit in limits]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{shown(text)}: {', '.join(twice)} is limited twice; give each cost one limit")
        return cls(tuple(sorted(limits, key=lambda limit: [*OBJECTIVES].index(limit.objective.name))))

    @property
    def text(self) -> str:
        """The constraint as it is written in full; one of the latency alone without its name."""
        if self.is_latency:
            return self.limits[0].text
        return " and ".join(f"{limit.objective.name}={limit.text}" for limit in self.limits)

    @property
    def name(self) -> str:
        """The name of the SubTransformer that is searched under this constraint."""
        return "-".join(("hat", *(limit.label for limit in self.limits)))

    @property
    def is_latency(self) -> bool:
        """True if only the latency is limited."""
        return [limit.objective for limit in self.limits] == [LATENCY]
