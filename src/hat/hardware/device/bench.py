"""A device that is ready to time models, wherever it is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from hat.architecture import AnyArchitecture, ModelConfig
from hat.errors import UserError
from hat.hardware.agent.environment import environment
from hat.hardware.device.answers import Timing, environment_of, peak_memory_of, slot_of, timing_of
from hat.hardware.device.devices import Device
from hat.hardware.device.limits import START_SECONDS, TimeLimits, artefact_work, call_work
from hat.hardware.device.link import Link, LocalLink
from hat.hardware.protocol import MeasureProtocol
from hat.runtime import ArtefactConfig

__all__ = ["AgentBench", "Bench", "InventedBench", "Timer", "Timing", "open_bench"]

# Milliseconds that decoding a batch of (source, target) lengths takes: a device that tests invent.
Timer = Callable[[AnyArchitecture, tuple[int, int]], float]


class Bench(Protocol):
    """What measuring does with a device. Calls raise LinkLost where it is lost and `reopen` may help."""

    def environment(self) -> dict[str, Any]:
        """The machine, its state and versions."""

    def load(self, model: ModelConfig, protocol: MeasureProtocol) -> tuple[int, int | None]:
        """Make a model of random weights ready, warmed up: its slot, and the memory that took."""

    def time(self, slot: int, *, first: bool = False) -> Timing:
        """Decode a batch of each pair of lengths."""

    def unload(self, slot: int) -> None:
        """Give a model's memory back."""

    def peak_memory(self, artefact: Path, protocol: MeasureProtocol) -> int | None:
        """Bytes resident at most while a process that has done nothing else decodes each pair once."""

    def reopen(self) -> None:
        """Begin again after LinkLost, with nothing loaded."""


class AgentBench:
    """A device, through its agent: each request has a time limit, each answer is checked."""

    def __init__(self, link: Link, cores: Sequence[int] = (), gpu: int | None = None) -> None:
        """`cores`: those that the agent keeps to; none for all. `gpu`: the one that it may use."""
        self._link, self._hello = link, {"op": "hello", "cores": list(cores), "gpu": gpu}
        self._limits = TimeLimits()
        self._greet()

    def _greet(self) -> None:
        self._loaded: dict[int, tuple[float, int]] = {}  # slot → work of a call, number of pairs of lengths
        self._environment = environment_of(self._link.ask(self._hello, START_SECONDS))

    def environment(self) -> dict[str, Any]:
        return self._environment

    def load(self, model: ModelConfig, protocol: MeasureProtocol) -> tuple[int, int | None]:
        config = ArtefactConfig(model, precision=protocol.precision).to_dict()
        return self._load({"model": config}, call_work(model, protocol), protocol)

    def _load(
        self, what: Mapping[str, Any], work: float, protocol: MeasureProtocol
    ) -> tuple[int, int | None]:
        request = {"op": "load", **what, "protocol": protocol.to_dict()}
        slot, memory = slot_of(self._link.ask(request, self._limits.of_loading(work)), self._loaded)
        self._loaded[slot] = work, len(protocol.pairs)
        return slot, memory

    def time(self, slot: int, *, first: bool = False) -> Timing:
        request = {"op": "time", "slot": slot, "first": first}
        work, pairs = self._loaded[slot]
        if first:  # less work than a whole call, but unknown how much less
            return timing_of(self._link.ask(request, self._limits.of_call(work)), pairs)
        answer = self._limits.timed(work, lambda seconds: self._link.ask(request, seconds))
        return timing_of(answer, pairs)

    def unload(self, slot: int) -> None:
        self._link.ask({"op": "unload", "slot": slot})
        del self._loaded[slot]

    def peak_memory(self, artefact: Path, protocol: MeasureProtocol) -> int | None:
        self.reopen()
        where = self._link.put(artefact)
        slot, _ = self._load({"artefact": where}, artefact_work(artefact, protocol), protocol)
        self.time(slot)
        return peak_memory_of(self._link.ask({"op": "state"}))

    def reopen(self) -> None:
        self._link.reopen()
        self._greet()


@contextmanager
def open_bench(device: Device, note: Callable[[str], None] = lambda line: None) -> Iterator[AgentBench]:
    """A declared device, its agent keeping to as many of the device's cores as there are threads.

    `note` is told of trouble that may pass, such as a connection to be made again. Raises UserError or
    HatError, in one line, for whatever keeps the device from being reached.
    """
    link = _open_link(device, note)
    try:
        gpu = device.gpu if device.accelerator == "cuda" else None
        yield AgentBench(link, device.cores[: device.threads], gpu)
    finally:
        link.close()


def _open_link(device: Device, note: Callable[[str], None]) -> Link:
    if device.address is None:
        return LocalLink()
    try:
        from hat.hardware.device.ssh.link import SshLink  # noqa: PLC0415  (needs the [ssh] extra)
    except ModuleNotFoundError as error:
        raise UserError(
            f"{device.name}: devices over SSH need asyncssh; pip install 'hardware-aware-transformers[ssh]'"
        ) from error
    return SshLink(device, note)


class InventedBench:
    """A device whose latencies a Timer invents: nothing runs."""

    def __init__(self, timer: Timer, machine: Mapping[str, Any] | None = None) -> None:
        """`machine`: stands for the environment; by default that of this process."""
        self._timer, self._machine = timer, machine
        self._slots: dict[int, tuple[AnyArchitecture, MeasureProtocol]] = {}
        self._loaded = 0

    def environment(self) -> dict[str, Any]:
        return environment() if self._machine is None else dict(self._machine)

    def load(self, model: ModelConfig, protocol: MeasureProtocol) -> tuple[int, int | None]:
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
