"""Time limits for an agent's answers, from the work of a request and the device's speed so far."""

from collections.abc import Callable
from math import inf
from pathlib import Path
from time import monotonic
from typing import TypeVar

from hat.architecture import ModelConfig, weight_counts
from hat.hardware.protocol import MOST_WARMUP, MeasureProtocol

# Limit for a request without work, in seconds: the device may be busy, or its memory swapped out.
ANSWER_SECONDS = 30.0
# Limits for starting a Python, and for loading an engine such as PyTorch from a memory card, in seconds.
START_SECONDS, LOAD_SECONDS = 60.0, 120.0
# Weights × tokens per second of a device of unknown speed: a tenth of a decoding Raspberry Pi 4's 2e9.
SLOWEST = 2e8
# A device of known speed may be this many times slower than its slowest call so far.
SLACK = 20.0
# The lowest speed of copying to a device, in bytes per second.
SLOWEST_COPY = 20_000

Answer = TypeVar("Answer")


def call_work(model: ModelConfig, protocol: MeasureProtocol) -> float:
    """The work of one timed call: weights × tokens, of all hypotheses in the beam."""
    return _call_work(weight_counts(model)[1], protocol)


def artefact_work(folder: Path, protocol: MeasureProtocol) -> float:
    """The work of one timed call of an artefact; a weight takes half a byte or more."""
    return _call_work(2 * folder_bytes(folder), protocol)


def copy_seconds(source: Path) -> float:
    """The most seconds that copying a file or folder may take."""
    return START_SECONDS + folder_bytes(source) / SLOWEST_COPY


def folder_bytes(source: Path) -> int:
    """The size of a file, or of all files in a folder, in bytes."""
    files = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files)


def _call_work(weights: float, protocol: MeasureProtocol) -> float:
    tokens = sum(source + protocol.beam * target for source, target in protocol.pairs)
    return float(weights) * tokens * protocol.batch


class TimeLimits:
    """The time limits for one device's agent; they adapt to the speed of its answers."""

    def __init__(self) -> None:
        self._slowest = inf  # the lowest speed of a call so far, in work per second

    def for_call(self, work: float) -> float:
        """The most seconds that decoding `work` may take."""
        speed = self._slowest / SLACK if self._slowest < inf else SLOWEST
        return ANSWER_SECONDS + work / speed

    def for_loading(self, work: float) -> float:
        """The most seconds that loading a model may take, including its warm-up."""
        return LOAD_SECONDS + MOST_WARMUP * (self.for_call(work) - ANSWER_SECONDS)

    def ask_timed(self, work: float, ask: Callable[[float], Answer]) -> Answer:
        """Call `ask` with the time limit for decoding `work`; the time it takes adapts the next limits."""
        started = monotonic()
        answer = ask(self.for_call(work))
        self._slowest = min(self._slowest, work / max(monotonic() - started, 1e-6))
        return answer
