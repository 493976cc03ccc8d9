"""How good translations are."""

from hat.evaluation.scores import Scores, score

__all__ = ["Scores", "score"]
