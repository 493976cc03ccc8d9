"""Scores of translations."""

from hat.evaluation.scores import Scores, score, tokenised_bleu

__all__ = ["Scores", "score", "tokenised_bleu"]
