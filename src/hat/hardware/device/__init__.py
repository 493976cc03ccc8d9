"""Devices as this machine sees them: declarations, transports, links, and benches that time models."""

from hat.hardware.device.answers import Timing
from hat.hardware.device.bench import AgentBench, Bench, InventedBench, Timer, open_bench
from hat.hardware.device.declared import (
    LOCAL,
    declared_devices,
    default_file,
    device_named,
    known_devices,
)
from hat.hardware.device.device import Device
from hat.hardware.device.link import BadAnswer, Link, LinkLost, NoAnswer
from hat.hardware.device.process import LocalLink, ProcessLink
from hat.hardware.device.transports import install, transport_of

__all__ = [
    "LOCAL",
    "AgentBench",
    "BadAnswer",
    "Bench",
    "Device",
    "InventedBench",
    "Link",
    "LinkLost",
    "LocalLink",
    "NoAnswer",
    "ProcessLink",
    "Timer",
    "Timing",
    "declared_devices",
    "default_file",
    "device_named",
    "install",
    "known_devices",
    "open_bench",
    "transport_of",
]
