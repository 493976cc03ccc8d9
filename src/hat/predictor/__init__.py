"""The costs of architectures, predicted from measurements: features, regressions, intervals. No torch."""

from hat.predictor.cross_validation import ordinary
from hat.predictor.features import AVERAGES
from hat.predictor.paper_network import PaperMLP
from hat.predictor.predictor import CostPredictor, FitReport
from hat.predictor.published_sets import PublishedLatencies, read_latency_csv
from hat.predictor.regression import RegressionSettings, fit_regression

__all__ = [
    "AVERAGES",
    "CostPredictor",
    "FitReport",
    "PaperMLP",
    "PublishedLatencies",
    "RegressionSettings",
    "fit_regression",
    "ordinary",
    "read_latency_csv",
]
