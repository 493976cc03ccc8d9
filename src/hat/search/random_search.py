"""Random search: the result of as many evaluations without evolution."""

import random
from pathlib import Path

from hat.architecture import Architecture
from hat.progress import Progress, silent
from hat.search.evolution import MEMO_FILE
from hat.search.feasible import check_reachable, draw_feasible
from hat.search.memo import Memo
from hat.search.problem import Candidate, SearchProblem, best_of
from hat.search.result import Iteration, SearchResult

TRIES = 200  # draws for each candidate wanted: uniform sampling seldom meets a tight constraint
STEP = 100


def random_search(
    problem: SearchProblem, budget: int, *, seed: int, folder: Path, progress: Progress = silent
) -> SearchResult:
    """Evaluate `budget` distinct feasible architectures drawn uniformly, with an entry of the history every
    100; fewer if TRIES draws for each do not find them. Raises UserError if none is within the limits.

    Shares `evaluated.jsonl` in `folder` with `evolve`: an architecture that both draw is evaluated once, but
    counted by each.
    """
    _, lowest = check_reachable(problem, seed)
    rng = random.Random(f"random {seed}")
    drawn = draw_feasible(problem, lambda: problem.space.sample(rng), wanted=budget, tries=TRIES)
    scored: dict[Architecture, Candidate] = {}
    history: list[Iteration] = []
    with Memo(folder / MEMO_FILE) as memo:
        for number, (one, costs) in enumerate(drawn.items(), start=1):
            progress(number - 1, budget, "random search")
            scored[one] = Candidate(one, memo.loss(one, problem.loss), costs)
            if number % STEP == 0 or number == len(drawn):
                best = best_of(scored.values(), 1)[0]
                history.append(Iteration(number, best.loss, best.costs))
    progress(budget, budget, f"{len(drawn)} architectures evaluated")
    return SearchResult.of("random", problem, lowest=lowest, scored=scored.values(), history=history)
