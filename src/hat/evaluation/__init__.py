"""Scores of translations."""

from hat.evaluation.bootstrap import paired_bootstrap
from hat.evaluation.scores import Scores, score, tokenised_bleu

__all__ = ["Scores", "paired_bootstrap", "score", "tokenised_bleu"]
