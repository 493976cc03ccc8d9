"""Evolutionary search under limits on costs (HAT, section 3.3; docs/reference.md, Evolutionary search)."""

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Self

from pydantic import Field, model_validator

from hat.architecture import Architecture
from hat.progress import Progress, silent
from hat.search.feasible import Draw, check_reachable, draw_feasible, nearby_feasible
from hat.search.memo import Memo
from hat.search.problem import Candidate, Costs, SearchProblem, best_of
from hat.search.result import Iteration, SearchResult
from hat.sections import Section

MEMO_FILE = "evaluated.jsonl"
Known = Mapping[Architecture, Candidate]
TRIES = 40  # draws for each child wanted before one-gene neighbours fill the place


class EvolutionSettings(Section):
    """The settings of an evolutionary search; the defaults are the paper's.

    At most population + (iterations - 1) × (mutations + crossovers) architectures are evaluated.
    """

    population: int = Field(default=125, gt=1)
    """Random candidates of the first iteration."""
    parents: int = Field(default=25, gt=0)
    """Best candidates kept and bred from."""
    mutations: int = Field(default=50, gt=0)
    """Candidates of each later iteration made by mutation."""
    mutation_probability: float = Field(default=0.3, gt=0, le=1)
    """Probability that a mutation redraws a gene."""
    crossovers: int = Field(default=50, gt=0)
    """Candidates of each later iteration made by crossover."""
    iterations: int = Field(default=30, gt=0)
    """Iterations."""

    @model_validator(mode="after")
    def _check_parents(self) -> Self:
        if self.parents > self.population:
            raise ValueError(f"parents: {self.parents} of a population of {self.population}")
        return self


def evolve(
    problem: SearchProblem,
    settings: EvolutionSettings,
    *,
    seed: int,
    folder: Path,
    progress: Progress = silent,
) -> SearchResult:
    """Search; every loss goes to `evaluated.jsonl` in `folder`, and none is evaluated twice.

    Each iteration's randomness depends on seed and iteration alone, and all else on the losses, so a search
    that was killed and is started again ends in the same result and files. Ends early if no feasible child is
    left. Raises UserError if no architecture is within the limits.
    """
    cheapest, lowest = check_reachable(problem, seed)
    total = settings.population + (settings.iterations - 1) * (settings.mutations + settings.crossovers)
    scored: dict[Architecture, Candidate] = {}
    parents: tuple[Candidate, ...] = ()
    history: list[Iteration] = []
    with Memo(folder / MEMO_FILE) as memo:
        for iteration in range(1, settings.iterations + 1):
            rng = Random(f"evolution {seed} {iteration}")
            if iteration == 1:
                children = _first(problem, settings.population, cheapest, rng)
            else:
                children = _breed(problem, settings, [one.architecture for one in parents], scored, rng)
            if not children:
                break
            for child, costs in children.items():
                progress(len(scored), total, f"iteration {iteration}/{settings.iterations}")
                scored[child] = Candidate(child, memo.loss(child, problem.loss), costs)
            parents = best_of(scored.values(), settings.parents)
            history.append(Iteration(len(scored), parents[0].loss, parents[0].costs))
    progress(total, total, f"{len(scored)} architectures evaluated")
    return SearchResult.of("evolution", problem, lowest=lowest, scored=scored.values(), history=history)


def _first(
    problem: SearchProblem, wanted: int, cheapest: Architecture, rng: Random
) -> dict[Architecture, Costs]:
    """Random feasible architectures; where these are rare, the cheapest and its neighbours too."""
    drawn = draw_feasible(problem, lambda: problem.space.sample(rng), wanted=wanted, tries=TRIES)
    if len(drawn) < wanted:
        drawn |= problem.feasible([cheapest])
        drawn |= nearby_feasible(problem, [*drawn], wanted=wanted - len(drawn), rng=rng, seen=drawn)
    return drawn


def _breed(
    problem: SearchProblem, settings: EvolutionSettings, parents: list[Architecture], seen: Known, rng: Random
) -> dict[Architecture, Costs]:
    """The next children, feasible and new, with their costs: mutations, then crossovers."""
    space = problem.space

    def mutation() -> Architecture:
        return space.mutate(rng.choice(parents), rng, settings.mutation_probability)

    def crossover() -> Architecture:
        first, second = rng.sample(parents, 2)
        return space.crossover(first, second, rng)

    def fill(draw: Draw, wanted: int) -> None:
        taken = {*seen, *children}
        children.update(draw_feasible(problem, draw, wanted=wanted, tries=TRIES, seen=taken))

    children: dict[Architecture, Costs] = {}
    fill(mutation, settings.mutations)
    if len(parents) > 1:
        fill(crossover, settings.crossovers)
    wanted = settings.mutations + settings.crossovers
    if len(children) < wanted:
        taken = {*seen, *children}
        children |= nearby_feasible(problem, parents, wanted=wanted - len(children), rng=rng, seen=taken)
    # Around parents that have converged nothing may be left; elsewhere something better might.
    fill(lambda: space.sample(rng), wanted - len(children))
    return children
