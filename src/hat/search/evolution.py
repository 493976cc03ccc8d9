"""Evolution under a latency constraint (HAT, section 3.3; docs/reference.md, Evolutionary search)."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from hat.architecture import Architecture
from hat.arguments import plain_numbers
from hat.errors import UserError
from hat.progress import Progress, silent
from hat.search.feasible import check_reachable, draw_feasible, nearby_feasible
from hat.search.memo import Memo
from hat.search.problem import Candidate, SearchProblem, best_of
from hat.search.result import KEPT, Iteration, SearchResult

MEMO_FILE = "evaluated.jsonl"

# Draws for each child wanted before one-gene neighbours fill the place.
TRIES = 40


@dataclass(frozen=True)
class EvolutionSettings:
    """The published settings. Iteration 1 evaluates `population` random architectures; each later
    one breeds `mutations` and `crossovers` from the best `parents` so far: at most
    population + (iterations - 1) × (mutations + crossovers) evaluations.

    `mutation_probability` is per gene. Raises UserError naming the field.
    """

    population: int = 125
    parents: int = 25
    mutations: int = 50
    mutation_probability: float = 0.3
    crossovers: int = 50
    iterations: int = 30

    def __post_init__(self) -> None:
        plain_numbers(self)
        for field in fields(self):
            if getattr(self, field.name) <= 0:
                raise UserError(f"{field.name}: {getattr(self, field.name)} is not above 0")
        if self.mutation_probability > 1:
            raise UserError(f"mutation_probability: {self.mutation_probability} is above 1")
        if self.parents > self.population:
            raise UserError(f"parents: {self.parents} of a population of {self.population}")


def evolve(
    problem: SearchProblem,
    settings: EvolutionSettings,
    seed: int,
    folder: Path,
    progress: Progress = silent,
) -> SearchResult:
    """Search; every loss goes to `evaluated.jsonl` in `folder`, and none is evaluated twice.

    Each iteration's randomness depends on seed and iteration alone, and all else on the losses, so
    a search killed anywhere and started again ends in the same result and files. Ends early when it
    finds no unseen feasible child. Raises UserError when no architecture meets the constraint.
    """
    fastest, lowest = check_reachable(problem, seed)
    brood = settings.mutations + settings.crossovers
    total = settings.population + (settings.iterations - 1) * brood
    scored: dict[Architecture, Candidate] = {}
    parents: tuple[Candidate, ...] = ()
    history: list[Iteration] = []
    with Memo(folder / MEMO_FILE) as memo:
        for iteration in range(1, settings.iterations + 1):
            rng = random.Random(f"evolution {seed} {iteration}")
            if iteration == 1:
                children = _first(problem, settings.population, fastest, lowest, rng)
            else:
                children = _breed(problem, settings, parents, scored, rng)
            if not children:
                break
            for child, latency in children.items():
                progress(len(scored), total, f"iteration {iteration}/{settings.iterations}")
                scored[child] = Candidate(child, memo.loss(child, problem.loss), latency)
            parents = best_of(scored.values(), settings.parents)
            history.append(Iteration(len(scored), parents[0].loss, parents[0].latency_ms))
    progress(total, total, f"{len(scored)} architectures evaluated")
    best = best_of(scored.values(), KEPT)
    return SearchResult("evolution", problem.constraint_ms, lowest, len(scored), best, tuple(history))


def _first(
    problem: SearchProblem,
    wanted: int,
    fastest: Architecture,
    latency: float,
    rng: random.Random,
) -> dict[Architecture, float]:
    """Random feasible architectures; where these are rare, the fastest and its neighbours too."""
    found = draw_feasible(problem, lambda: problem.space.sample(rng), wanted, TRIES)
    if len(found) < wanted:
        found[fastest] = latency
        found |= nearby_feasible(problem, [*found], wanted - len(found), rng, found)
    return found


def _breed(
    problem: SearchProblem,
    settings: EvolutionSettings,
    parents: tuple[Candidate, ...],
    seen: Mapping[Architecture, Candidate],
    rng: random.Random,
) -> dict[Architecture, float]:
    """The next children, feasible and unseen, with latency: mutations, then crossovers."""
    space, pool = problem.space, [parent.architecture for parent in parents]

    def mutation() -> Architecture:
        return space.mutate(rng.choice(pool), rng, settings.mutation_probability)

    def crossover() -> Architecture:
        one, other = rng.sample(pool, 2)
        return space.crossover(one, other, rng)

    def fill(draw: Callable[[], Architecture], wanted: int) -> None:
        children.update(draw_feasible(problem, draw, wanted, TRIES, {*seen, *children}))

    children: dict[Architecture, float] = {}
    fill(mutation, settings.mutations)
    if len(pool) > 1:
        fill(crossover, settings.crossovers)
    wanted = settings.mutations + settings.crossovers
    if len(children) < wanted:
        taken = {*seen, *children}
        children |= nearby_feasible(problem, pool, wanted - len(children), rng, taken)
    # Around parents that have converged nothing may be left; elsewhere something better might.
    fill(lambda: space.sample(rng), wanted - len(children))
    return children
