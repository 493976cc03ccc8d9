"""The costs of architectures, predicted from measurements: features, regressions, intervals. No torch."""

from hat.predictor.predictor import FitReport, LatencyPredictor
from hat.predictor.published_sets import PublishedLatencies, read_latency_csv

__all__ = ["FitReport", "LatencyPredictor", "PublishedLatencies", "read_latency_csv"]
