"""Latency on a device: the agent, devices, the protocol, measuring and the store. No torch."""

from hat.hardware.agent.environment import environment, installed_version
from hat.hardware.device.bench import Bench, InventedBench, Timer, open_bench
from hat.hardware.device.declared import LOCAL, declared_devices, default_file, device_named, known_devices
from hat.hardware.device.device import Device
from hat.hardware.device.link import LinkLost
from hat.hardware.device.transports import install, transport_of
from hat.hardware.measuring.calibration import Calibration, calibrate, calibration_protocol
from hat.hardware.measuring.measure import Series, measure
from hat.hardware.measuring.measurement import Measurement
from hat.hardware.measuring.sampling import Sampled, fit, measure_until_predictable, noise_floor
from hat.hardware.measuring.side_by_side import Decoding, EngineTime, forced, time_engines, time_in_turn
from hat.hardware.measuring.store import MeasurementStore
from hat.hardware.measuring.verdict import Figure, Verdict, verdict
from hat.hardware.protocol import MeasureProtocol, random_sources

__all__ = [
    "LOCAL",
    "Bench",
    "Calibration",
    "Decoding",
    "Device",
    "EngineTime",
    "Figure",
    "InventedBench",
    "LinkLost",
    "MeasureProtocol",
    "Measurement",
    "MeasurementStore",
    "Sampled",
    "Series",
    "Timer",
    "Verdict",
    "calibrate",
    "calibration_protocol",
    "declared_devices",
    "default_file",
    "device_named",
    "environment",
    "fit",
    "forced",
    "install",
    "installed_version",
    "known_devices",
    "measure",
    "measure_until_predictable",
    "noise_floor",
    "open_bench",
    "random_sources",
    "time_engines",
    "time_in_turn",
    "transport_of",
    "verdict",
]
