"""How long an agent may take to answer: from the work asked for, and from how fast it was so far."""

from collections.abc import Callable
from math import inf, prod
from pathlib import Path
from time import monotonic
from typing import TypeVar

from hat.architecture import ModelConfig, weight_shapes
from hat.hardware.protocol import MOST_WARMUP, MeasureProtocol

# For what takes no time: the device may be busy, its memory on disk.
ANSWER_SECONDS = 30.0
# For what starts a Python, and for what loads an engine: PyTorch, from a memory card.
START_SECONDS, LOAD_SECONDS = 60.0, 120.0
# Work in a second, as `work` counts it, of a device that nothing is known of: a tenth of a Raspberry Pi 4's,
# which decodes with 2e9.
SLOWEST = 2e8
# Once its speed is known, a device may be so many times slower than it ever was.
SLACK = 20.0
# Copying to a device, in bytes a second at least.
SLOWEST_COPY = 20_000

Answer = TypeVar("Answer")


def call_work(model: ModelConfig, protocol: MeasureProtocol) -> float:
    """What one timed call computes: weights times tokens, those of all the beam's hypotheses."""
    return _weighed(sum(map(prod, weight_shapes(model).values())), protocol)


def artefact_work(folder: Path, protocol: MeasureProtocol) -> float:
    """The same of an artefact, whose weights have half a byte each or more."""
    return _weighed(2 * folder_bytes(folder), protocol)


def copy_seconds(source: Path) -> float:
    """How long copying a file or folder may take."""
    return START_SECONDS + folder_bytes(source) / SLOWEST_COPY


def folder_bytes(source: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files)


def _weighed(weights: float, protocol: MeasureProtocol) -> float:
    tokens = sum(source + protocol.beam * target for source, target in protocol.pairs)
    return float(weights) * tokens * protocol.batch


class TimeLimits:
    """The limits of one device's agent, which learn from its answers."""

    def __init__(self) -> None:
        self._slowest = inf  # work in a second, of the calls answered so far

    def of_call(self, work: float) -> float:
        """Seconds that decoding `work` may take."""
        known = self._slowest < inf
        return ANSWER_SECONDS + (SLACK * work / self._slowest if known else work / SLOWEST)

    def of_loading(self, work: float) -> float:
        """Seconds that loading a model may take, its warm-up included."""
        return LOAD_SECONDS + MOST_WARMUP * (self.of_call(work) - ANSWER_SECONDS)

    def timed(self, work: float, ask: Callable[[float], Answer]) -> Answer:
        """Call `ask` with the seconds that decoding `work` may take, and learn from how long it took."""
        started = monotonic()
        answer = ask(self.of_call(work))
        self._slowest = min(self._slowest, work / max(monotonic() - started, 1e-6))
        return answer
