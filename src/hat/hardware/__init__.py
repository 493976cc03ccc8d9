"""Latency on a device: devices, the protocol, measuring, the store and the predictor. No torch."""

from hat.hardware.bench import AgentBench, Bench, InventedBench, Timer, open_bench
from hat.hardware.environment import environment
from hat.hardware.link import LocalLink
from hat.hardware.measure import Series, measure
from hat.hardware.measurement import Measurement
from hat.hardware.predictor import FitReport, LatencyPredictor
from hat.hardware.protocol import MeasureProtocol
from hat.hardware.published import PublishedLatencies, read_latency_csv
from hat.hardware.store import MeasurementStore

__all__ = [
    "AgentBench",
    "Bench",
    "FitReport",
    "InventedBench",
    "LatencyPredictor",
    "LocalLink",
    "MeasureProtocol",
    "Measurement",
    "MeasurementStore",
    "PublishedLatencies",
    "Series",
    "Timer",
    "environment",
    "measure",
    "open_bench",
    "read_latency_csv",
]
