"""A bench: a device that is ready to time models, wherever it is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from hat.architecture import AnyArchitecture, ModelConfig
from hat.hardware.agent.environment import environment
from hat.hardware.device.answers import Timing, read_environment, read_peak_memory, read_slot, read_timing
from hat.hardware.device.device import Device
from hat.hardware.device.limits import START_SECONDS, TimeLimits, artefact_work, call_work
from hat.hardware.device.link import Link
from hat.hardware.device.transports import Note, open_link
from hat.hardware.protocol import MeasureProtocol
from hat.runtime import ArtefactConfig

# An invented latency: milliseconds for an architecture to decode a batch of (source, target) lengths.
Timer = Callable[[AnyArchitecture, tuple[int, int]], float]
# The slot of a loaded model, and the bytes of memory that it took, None if unknown.
Loaded = tuple[int, int | None]


class Bench(Protocol):
    """A device as measuring uses it. Calls raise LinkLost where it is lost and `reopen` may help."""

    def environment(self) -> dict[str, Any]:
        """The machine, its state and the versions in use (`hat.hardware.environment`)."""

    def load(self, model: ModelConfig, protocol: MeasureProtocol) -> Loaded:
        """Load a model with random weights, and warm it up."""

    def time(self, slot: int, *, first: bool = False) -> Timing:
        """Decode a batch of each pair of lengths; `first`: only the encoder and the first step."""

    def unload(self, slot: int) -> None:
        """Free a model's memory."""

    def peak_memory(self, artefact: Path, protocol: MeasureProtocol) -> int | None:
        """The peak of resident memory, in bytes, of a fresh process that decodes each pair once."""

    def reopen(self) -> None:
        """Start again after LinkLost, with no model loaded."""


class AgentBench:
    """A device, through its agent: each request has a time limit, each answer is checked."""

    def __init__(self, link: Link, cores: Sequence[int] = (), *, gpu: int | None = None) -> None:
        """`cores`: the cores that the agent is kept to, () for all. `gpu`: the number of its GPU."""
        self._link, self._hello = link, {"op": "hello", "cores": list(cores), "gpu": gpu}
        self._limits = TimeLimits()
        self._say_hello()

    def _say_hello(self) -> None:
        self._loaded: dict[int, tuple[float, int]] = {}  # slot → work of a call, number of pairs of lengths
        self._environment = read_environment(self._link.ask(self._hello, START_SECONDS))

    def environment(self) -> dict[str, Any]:
        return self._environment

    def load(self, model: ModelConfig, protocol: MeasureProtocol) -> Loaded:
        config = ArtefactConfig(model, precision=protocol.precision).to_dict()
        return self._load({"model": config}, call_work(model, protocol), protocol)

    def _load(self, model: Mapping[str, Any], work: float, protocol: MeasureProtocol) -> Loaded:
        request = {"op": "load", **model, "protocol": protocol.to_dict()}
        slot, memory = read_slot(self._link.ask(request, self._limits.for_loading(work)), self._loaded)
        self._loaded[slot] = work, len(protocol.pairs)
        return slot, memory

    def time(self, slot: int, *, first: bool = False) -> Timing:
        request = {"op": "time", "slot": slot, "first": first}
        work, pairs = self._loaded[slot]
        if first:  # its work is unknown, so the limits do not adapt to it; a whole call's limit is enough
            return read_timing(self._link.ask(request, self._limits.for_call(work)), pairs)
        answer = self._limits.ask_timed(work, lambda seconds: self._link.ask(request, seconds))
        return read_timing(answer, pairs)

    def unload(self, slot: int) -> None:
        self._link.ask({"op": "unload", "slot": slot})
        del self._loaded[slot]

    def peak_memory(self, artefact: Path, protocol: MeasureProtocol) -> int | None:
        self.reopen()
        copied = self._link.put(artefact)
        slot, _ = self._load({"artefact": copied}, artefact_work(artefact, protocol), protocol)
        self.time(slot)
        return read_peak_memory(self._link.ask({"op": "state"}))

    def reopen(self) -> None:
        self._link.reopen()
        self._say_hello()


@contextmanager
def open_bench(device: Device, note: Note = lambda line: None) -> Iterator[AgentBench]:
    """A declared device. Its agent is kept to as many of the device's cores as there are threads.

    `note` shows the user a line about trouble that may pass, such as a lost connection. Raises UserError or
    HatError, in one line, where the device cannot be reached.
    """
    with closing(open_link(device, note)) as link:
        gpu = device.gpu if device.accelerator == "cuda" else None
        yield AgentBench(link, device.cores[: device.threads], gpu=gpu)


class InventedBench:
    """A device whose latencies a Timer invents: no model runs."""

    def __init__(self, timer: Timer, machine: Mapping[str, Any] | None = None) -> None:
        """`machine`: the environment; by default that of this process."""
        self._timer, self._machine = timer, machine
        self._slots: dict[int, tuple[AnyArchitecture, MeasureProtocol]] = {}
        self._loaded = 0

    def environment(self) -> dict[str, Any]:
        return environment() if self._machine is None else dict(self._machine)

    def load(self, model: ModelConfig, protocol: MeasureProtocol) -> Loaded:
        self._loaded += 1
        self._slots[self._loaded] = model.architecture, protocol
        return self._loaded, None

    def time(self, slot: int, *, first: bool = False) -> Timing:
        architecture, protocol = self._slots[slot]
        pairs = [(source, 1 if first else target) for source, target in protocol.pairs]
        return Timing([self._timer(architecture, pair) for pair in pairs], None, 0)

    def unload(self, slot: int) -> None:
        del self._slots[slot]

    def peak_memory(self, artefact: Path, protocol: MeasureProtocol) -> int | None:
        return None

    def reopen(self) -> None:
        self._slots.clear()
