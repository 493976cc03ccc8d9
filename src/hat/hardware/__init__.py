"""Latency on this machine: the protocol, measuring, the agent and the predictor. No torch."""

from hat.hardware.decoding import Timer, wall_clock
from hat.hardware.environment import environment
from hat.hardware.fresh_process import peak_memory
from hat.hardware.measure import Measurement, measure
from hat.hardware.predictor import FitReport, LatencyPredictor
from hat.hardware.protocol import MeasureProtocol

__all__ = [
    "FitReport",
    "LatencyPredictor",
    "MeasureProtocol",
    "Measurement",
    "Timer",
    "environment",
    "measure",
    "peak_memory",
    "wall_clock",
]
