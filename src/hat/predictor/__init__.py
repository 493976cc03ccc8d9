"""The costs of architectures, predicted from measurements, and a ranking of their quality. No torch."""

from hat.predictor.cross_validation import ordinary
from hat.predictor.features import AVERAGES
from hat.predictor.paper_network import PaperMLP
from hat.predictor.predictor import CostPredictor, FitReport
from hat.predictor.published_sets import PublishedLatencies, read_latency_csv
from hat.predictor.ranking import (
    QualityRanker,
    RankAgreement,
    TrainedAlone,
    decoder_depth,
    kendall_tau,
    leave_one_out,
    left_out_scores,
    transferred,
)
from hat.predictor.regression import RegressionSettings, fit_regression

__all__ = [
    "AVERAGES",
    "CostPredictor",
    "FitReport",
    "PaperMLP",
    "PublishedLatencies",
    "QualityRanker",
    "RankAgreement",
    "RegressionSettings",
    "TrainedAlone",
    "decoder_depth",
    "fit_regression",
    "kendall_tau",
    "leave_one_out",
    "left_out_scores",
    "ordinary",
    "read_latency_csv",
    "transferred",
]
