"""Scores of translations."""

from hat.evaluation.bootstrap import paired_bootstrap, share_left_out
from hat.evaluation.scores import Scores, score, tokenised_bleu

__all__ = ["Scores", "paired_bootstrap", "score", "share_left_out", "tokenised_bleu"]
