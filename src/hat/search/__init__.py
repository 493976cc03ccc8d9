"""Search for the best SubTransformer under limits on its costs."""

from typing import TYPE_CHECKING

from hat.lazy_names import importer
from hat.search.evolution import EvolutionSettings, evolve
from hat.search.objectives import LATENCY, OBJECTIVES, Objective
from hat.search.problem import Candidate, CostLimit, SearchProblem
from hat.search.random_search import random_search
from hat.search.result import Iteration, SearchResult
from hat.search.verified import Choice, Trial, search_verified

if TYPE_CHECKING:
    from hat.search.evaluate import candidate_loss

__all__ = [
    "LATENCY",
    "OBJECTIVES",
    "Candidate",
    "Choice",
    "CostLimit",
    "EvolutionSettings",
    "Iteration",
    "Objective",
    "SearchProblem",
    "SearchResult",
    "Trial",
    "candidate_loss",
    "evolve",
    "random_search",
    "search_verified",
]

# On first use: it needs PyTorch.
__getattr__ = importer("hat.search", {"hat.search.evaluate": ("candidate_loss",)})
