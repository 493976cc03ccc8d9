"""Finding architectures within the limits, in bounded time however few there are."""

import random
from collections.abc import Callable, Container
from itertools import islice

from hat.architecture import Architecture
from hat.errors import UserError
from hat.search.problem import Costs, Predict, SearchProblem
from hat.space import DesignSpace

DESCENT_STEPS = 100
DESCENT_PATIENCE = 3
DESCENT_BEAM = 6
RANDOM_STARTS = 256

Draw = Callable[[], Architecture]
Seen = Container[Architecture]


def draw_feasible(
    problem: SearchProblem, draw: Draw, *, wanted: int, tries: int, seen: Seen = ()
) -> dict[Architecture, Costs]:
    """Up to `wanted` distinct feasible architectures not in `seen`, with their costs, from at most `tries`
    draws for each; drawn in batches, which a predictor answers faster."""
    drawn: dict[Architecture, Costs] = {}
    for _ in range(tries):
        if len(drawn) >= wanted:
            break
        fresh = [one for one in (draw() for _ in range(wanted)) if one not in seen]
        drawn |= problem.feasible(one for one in fresh if one not in drawn)
    return dict(islice(drawn.items(), wanted))


def nearby_feasible(
    problem: SearchProblem, centres: list[Architecture], *, wanted: int, rng: random.Random, seen: Seen
) -> dict[Architecture, Costs]:
    """Up to `wanted` feasible architectures not in `seen` that are one gene away from `centres`.

    Under tight limits, mutations of many genes are hardly ever feasible; these mostly are.
    """
    space = problem.space
    around = [one for centre in centres for one in space.neighbours(centre) if one not in seen]
    nearby = list(problem.feasible(around).items())
    return dict(rng.sample(nearby, min(wanted, len(nearby))))


def lowest_cost(space: DesignSpace, predict: Predict, seed: int) -> tuple[Architecture, float]:
    """The architecture of the lowest cost that a descent finds, with this cost; a heuristic, but bounded.

    It starts from the smallest architecture and random ones, keeps the cheapest few, and goes on with their
    neighbours and mutations until nothing cheaper has come up for a few steps.
    """
    rng = random.Random(f"lowest {seed}")
    pool = [space.smallest(), *(space.sample(rng) for _ in range(RANDOM_STARTS))]
    cheapest: dict[Architecture, float] = {}
    best, idle = float("inf"), 0
    for _ in range(DESCENT_STEPS):
        fresh = list(dict.fromkeys(one for one in pool if one not in cheapest))
        cheapest |= zip(fresh, map(float, predict(fresh)), strict=True) if fresh else ()
        cheapest = dict(sorted(cheapest.items(), key=lambda item: item[1])[:DESCENT_BEAM])
        lowest = min(cheapest.values())
        best, idle = (lowest, 0) if lowest < best else (best, idle + 1)
        if idle == DESCENT_PATIENCE:
            break
        pool = [one for kept in cheapest for one in space.neighbours(kept)]
        pool += [space.mutate(kept, rng, 0.3) for kept in cheapest for _ in range(10)]
    return min(cheapest.items(), key=lambda item: item[1])


def check_reachable(problem: SearchProblem, seed: int) -> tuple[Architecture, dict[str, float]]:
    """An architecture within all limits, and the lowest value of each objective, as descents find them.

    Raises UserError naming a limit that nothing reaches, or limits that nothing reaches together.
    """
    reachable: dict[str, float] = {}
    for cost in problem.limits:
        nearest, reachable[cost.name] = lowest_cost(problem.space, cost.predict, seed)
        if reachable[cost.name] > cost.limit:
            written = cost.objective.written
            raise UserError(
                f"{cost.name} constraint {written(cost.limit, 6)}: no architecture of the design space is "
                f"predicted to be within it; the lowest reachable {cost.name} is "
                f"{written(reachable[cost.name])}"
            )
    if len(problem.limits) == 1:
        return nearest, reachable
    nearest, share = lowest_cost(problem.space, problem.largest_share, seed)
    if share > 1:
        limits = " and ".join(
            f"{cost.name} {cost.objective.written(cost.limit, 6)}" for cost in problem.limits
        )
        figures = [(cost, float(cost.predict([nearest])[0])) for cost in problem.limits]
        near = ", ".join(f"{cost.name} {cost.objective.written(figure)}" for cost, figure in figures)
        raise UserError(
            f"constraint {limits}: each is within reach alone, but no architecture of the design space is "
            f"predicted to be within all of them; the nearest has {near}"
        )
    return nearest, reachable
