"""Finding architectures within the constraint, in bounded time however few there are."""

import random
from collections.abc import Callable, Container

from hat.architecture import Architecture
from hat.errors import UserError
from hat.search.problem import SearchProblem

DESCENT_STEPS = 100
DESCENT_PATIENCE = 3
DESCENT_BEAM = 6
RANDOM_STARTS = 256


def draw_feasible(
    problem: SearchProblem,
    draw: Callable[[], Architecture],
    wanted: int,
    tries: int,
    seen: Container[Architecture] = (),
) -> dict[Architecture, float]:
    """Up to `wanted` distinct feasible architectures not in `seen`, with latency, from `draw`.

    Draws in batches, which a predictor answers faster, and gives up after `tries` draws for each
    one wanted.
    """
    found: dict[Architecture, float] = {}
    for _ in range(tries):
        if len(found) >= wanted:
            break
        fresh = [one for one in (draw() for _ in range(wanted)) if one not in seen]
        found |= problem.feasible(one for one in fresh if one not in found)
    return dict(list(found.items())[:wanted])


def nearby_feasible(
    problem: SearchProblem,
    centres: list[Architecture],
    wanted: int,
    rng: random.Random,
    seen: Container[Architecture] = (),
) -> dict[Architecture, float]:
    """Up to `wanted` feasible architectures not in `seen` that are one gene away from `centres`.

    Where the constraint is tight, mutations of many genes hardly ever meet it; these mostly do.
    """
    space = problem.space
    around = [one for centre in centres for one in space.neighbours(centre) if one not in seen]
    found = list(problem.feasible(around).items())
    return dict(rng.sample(found, min(wanted, len(found))))


def lowest_latency(problem: SearchProblem, rng: random.Random) -> tuple[Architecture, float]:
    """The architecture of the lowest latency (ms) that a descent finds; a heuristic, but bounded.

    Keeps the fastest few of the smallest architecture, random ones, and then of their neighbours
    and mutations, until nothing faster has come up for a few steps.
    """
    space = problem.space
    pool = [space.smallest(), *(space.sample(rng) for _ in range(RANDOM_STARTS))]
    fastest: dict[Architecture, float] = {}
    best, idle = float("inf"), 0
    for _ in range(DESCENT_STEPS):
        fresh = list(dict.fromkeys(one for one in pool if one not in fastest))
        fastest |= zip(fresh, map(float, problem.latency(fresh)), strict=True) if fresh else ()
        fastest = dict(sorted(fastest.items(), key=lambda item: item[1])[:DESCENT_BEAM])
        lowest = min(fastest.values())
        best, idle = (lowest, 0) if lowest < best else (best, idle + 1)
        if idle == DESCENT_PATIENCE:
            break
        pool = [one for kept in fastest for one in space.neighbours(kept)]
        pool += [space.mutate(kept, rng, 0.3) for kept in fastest for _ in range(10)]
    return min(fastest.items(), key=lambda item: item[1])


def check_reachable(problem: SearchProblem, seed: int) -> tuple[Architecture, float]:
    """As `lowest_latency`. Raises UserError naming that latency if the constraint is below."""
    architecture, lowest = lowest_latency(problem, random.Random(f"lowest {seed}"))
    if lowest > problem.constraint_ms:
        raise UserError(
            f"latency constraint {problem.constraint_ms:g} ms: no architecture of the design space "
            f"is predicted that fast; the lowest reachable latency is {lowest:.4g} ms"
        )
    return architecture, lowest
