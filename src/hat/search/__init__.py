"""Search for the best SubTransformer under a latency constraint."""

from hat.search.evolution import EvolutionSettings, evolve
from hat.search.problem import Candidate, SearchProblem
from hat.search.random_search import random_search
from hat.search.result import Iteration, SearchResult

__all__ = [
    "Candidate",
    "EvolutionSettings",
    "Iteration",
    "SearchProblem",
    "SearchResult",
    "evolve",
    "random_search",
]
