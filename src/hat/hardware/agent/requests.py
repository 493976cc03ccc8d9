"""The half of measuring that runs on the device: it times what it is told to, and decides nothing.

`python -P -m hat.hardware.agent` reads one JSON request a line from standard input, writes one JSON
answer a line to standard output, and ends where its input ends, so that a lost connection leaves no
process behind. An answer is {"error": message, "exit_code": n} where the request could not be met.

| request | answer |
| --- | --- |
| {"op": "hello", "cores": [n, …] or null, "gpu": n or null} | {"environment": {…}}; it stays on these |
| {"op": "load", "protocol": {…}, "model": {…} or "artefact": folder} | {"slot": n, "memory_bytes": n} |
| {"op": "time", "slot": n, "first": bool} | {"pairs_ms": [for each pair], "energy_j": x, "preempted": n} |
| {"op": "unload", "slot": n} | {} |
| {"op": "state"} | {"peak_memory_bytes": n, "load_average": x, "temperature_c": x, "clock_mhz": x} |

`preempted`: how often other work took a core away from the process meanwhile. `model` is an artefact's
config.json: the weights are drawn at random. `memory_bytes` is what loading
and the warm-up added to the process's resident memory.
"""

import json
import os
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any, TextIO

from hat.errors import HatError, UserError, shown
from hat.files import check_keys
from hat.hardware.agent.decoding import Decoding
from hat.hardware.agent.energy import EnergyMeter
from hat.hardware.agent.environment import (
    environment,
    peak_resident_bytes,
    preemptions,
    resident_bytes,
    state,
)
from hat.hardware.protocol import MOST_WARMUP, MeasureProtocol
from hat.runtime import Artefact, ArtefactConfig

OPERATIONS = {
    "hello": ("cores", "gpu"),
    "load": ("protocol", "model", "artefact"),
    "time": ("slot", "first"),
    "unload": ("slot",),
    "state": (),
}


# A call whose time differs from that of the call before by at most this share ends the warm-up.
STABLE = 0.05


class Agent:
    """The loaded models, and an answer to each request."""

    def __init__(self) -> None:
        self._slots: dict[int, Decoding] = {}
        self._loaded = 0
        self._meter = EnergyMeter()

    def answer(self, request: object) -> dict[str, Any]:
        """Raises HatError where it cannot be met."""
        operation = request.get("op") if isinstance(request, Mapping) else None
        if not isinstance(operation, str) or operation not in OPERATIONS:
            raise UserError(f"request: expected an op of {', '.join(OPERATIONS)}")
        known = OPERATIONS[operation]
        keys = check_keys(request, ("op", *known), operation, optional=known)
        found: dict[str, Any] = getattr(self, f"_{keys['op']}")(keys)
        return found

    def _hello(self, keys: Mapping[str, Any]) -> dict[str, Any]:
        machine = {**environment(), "pinned_to": keys.get("cores") or None}
        if keys.get("cores"):
            _pin(keys["cores"])
        if keys.get("gpu") is not None:
            # Before an engine that uses CUDA is loaded; numbered as nvidia-smi does.
            os.environ |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": str(keys["gpu"])}
        return {"environment": machine}

    def _load(self, keys: Mapping[str, Any]) -> dict[str, Any]:
        protocol = MeasureProtocol.from_dict(keys.get("protocol"))
        before = resident_bytes()
        decoding = Decoding(_artefact(keys, protocol), protocol)
        _warm_up(decoding, protocol.warmup)
        self._loaded += 1
        self._slots[self._loaded] = decoding
        return {"slot": self._loaded, "memory_bytes": max(resident_bytes() - before, 0)}

    def _time(self, keys: Mapping[str, Any]) -> dict[str, Any]:
        decoding = self._slot(keys)
        before = preemptions()
        self._meter.start()
        taken = decoding.time(first=bool(keys.get("first")))
        joules = self._meter.joules()
        return {"pairs_ms": taken, "energy_j": joules, "preempted": preemptions() - before}

    def _unload(self, keys: Mapping[str, Any]) -> dict[str, Any]:
        self._slot(keys).close()
        del self._slots[keys["slot"]]
        return {}

    def _state(self, keys: Mapping[str, Any]) -> dict[str, Any]:
        return {"peak_memory_bytes": peak_resident_bytes(), **state()}

    def _slot(self, keys: Mapping[str, Any]) -> Decoding:
        slot = keys.get("slot")
        if not isinstance(slot, int) or slot not in self._slots:
            raise UserError(f"slot: {shown(slot)} holds no model")
        return self._slots[slot]


def _warm_up(decoding: Decoding, fewest: int) -> None:
    """Untimed calls until one takes about as long as the one before."""
    before = inf
    for number in range(1, MOST_WARMUP + 1):
        taken = sum(decoding.time())
        if number >= fewest and abs(taken / before - 1) < STABLE:
            return
        before = taken


def _artefact(keys: Mapping[str, Any], protocol: MeasureProtocol) -> Artefact:
    if keys.get("artefact") is not None:
        return Artefact.load(Path(str(keys["artefact"])))
    config = ArtefactConfig.from_dict(keys.get("model"), "model")
    return Artefact.random(config.model, seed=0, precision=protocol.precision)


def _pin(cores: object) -> None:
    if not hasattr(os, "sched_setaffinity"):
        raise UserError("cores: this system does not let a process choose its cores")
    allowed = sorted(os.sched_getaffinity(0))
    if not isinstance(cores, list) or not all(core in allowed for core in cores):
        raise UserError(f"cores: {shown(cores)}; the cores here are {', '.join(map(str, allowed))}")
    os.sched_setaffinity(0, cores)


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer each line until there are no more."""
    agent = Agent()
    for line in requests:
        try:
            found = agent.answer(json.loads(line))
        except (ValueError, RecursionError) as error:
            found = {"error": f"request: not JSON ({error})", "exit_code": UserError.exit_code}
        except HatError as error:
            found = {"error": str(error), "exit_code": error.exit_code}
        except MemoryError:
            found = {"error": "the device's memory is full", "exit_code": HatError.exit_code}
        answers.write(json.dumps(found) + "\n")
        answers.flush()
