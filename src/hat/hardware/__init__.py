"""Latency on a device: the agent, devices, the protocol, measuring and the store. No torch."""

from hat.hardware.agent.environment import environment
from hat.hardware.device.bench import AgentBench, Bench, InventedBench, Timer, open_bench
from hat.hardware.device.link import LocalLink
from hat.hardware.measuring.measure import Series, measure
from hat.hardware.measuring.measurement import Measurement
from hat.hardware.measuring.store import MeasurementStore
from hat.hardware.protocol import MeasureProtocol

__all__ = [
    "AgentBench",
    "Bench",
    "InventedBench",
    "LocalLink",
    "MeasureProtocol",
    "Measurement",
    "MeasurementStore",
    "Series",
    "Timer",
    "environment",
    "measure",
    "open_bench",
]
