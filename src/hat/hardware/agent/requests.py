"""The half of measuring that runs on the device: it times models on request, and decides nothing.

`python -P -m hat.hardware.agent` reads one JSON request a line from standard input, writes one JSON
answer a line to standard output, and ends when its input ends, so that a lost connection leaves no
process behind. The answer to a request that fails is {"error": message, "exit_code": n}.

| request | answer |
| --- | --- |
| {"op": "hello", "cores": [n, …] or null, "gpu": n or null} | {"environment": {…}} |
| {"op": "load", "protocol": {…}, "model": {…} or "artefact": folder} | {"slot": n, "memory_bytes": n} |
| {"op": "time", "slot": n, "first": bool} | {"pairs_ms": [for each pair], "energy_j": x, "preempted": n} |
| {"op": "unload", "slot": n} | {} |
| {"op": "state"} | {"peak_memory_bytes": n, "load_average": x, "temperature_c": x, "clock_mhz": x} |

After `hello` the process is kept to the `cores`, and CUDA shows it only the GPU number `gpu`. `model` is an
artefact's config.json: its weights are drawn at random. `memory_bytes`: growth of the process's resident
memory by loading and warm-up. `pairs_ms`: milliseconds that decoding a batch takes, for each of the
protocol's pairs of lengths. `preempted`: how often other work took a core away from the process during the
call.
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
from hat.hardware.agent.environment import environment, peak_bytes, preemptions, resident_bytes, state
from hat.hardware.protocol import MOST_WARMUP, MeasureProtocol
from hat.runtime import Artefact, ArtefactConfig

OPERATIONS = {
    "hello": ("cores", "gpu"),
    "load": ("protocol", "model", "artefact"),
    "time": ("slot", "first"),
    "unload": ("slot",),
    "state": (),
}

# The warm-up ends with a call whose time differs by less than this share from that of the call before.
STABLE = 0.05


class Agent:
    """The loaded models, and an answer to each request."""

    def __init__(self) -> None:
        self._slots: dict[int, Decoding] = {}
        self._loaded = 0
        self._meter = EnergyMeter()

    def answer(self, request: object) -> dict[str, Any]:
        """The answer to a request. Raises HatError where the request fails."""
        operation = request.get("op") if isinstance(request, Mapping) else None
        if not isinstance(operation, str) or operation not in OPERATIONS:
            raise UserError(f"request: expected an op of {', '.join(OPERATIONS)}")
        known = OPERATIONS[operation]
        keys = check_keys(request, ("op", *known), operation, optional=known)
        answer: dict[str, Any] = getattr(self, f"_{operation}")(keys)
        return answer

    def _hello(self, keys: Mapping[str, Any]) -> dict[str, Any]:
        machine = {**environment(), "pinned_to": keys.get("cores") or None}
        if keys.get("cores"):
            _pin(keys["cores"])
        if keys.get("gpu") is not None:
            # CUDA reads these when an engine that uses it is loaded; the numbers are those of nvidia-smi.
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
        pairs_ms = decoding.time(first=bool(keys.get("first")))
        joules = self._meter.joules()
        return {"pairs_ms": pairs_ms, "energy_j": joules, "preempted": preemptions() - before}

    def _unload(self, keys: Mapping[str, Any]) -> dict[str, Any]:
        self._slot(keys).close()
        del self._slots[keys["slot"]]
        return {}

    def _state(self, keys: Mapping[str, Any]) -> dict[str, Any]:
        return {"peak_memory_bytes": peak_bytes(), **state()}

    def _slot(self, keys: Mapping[str, Any]) -> Decoding:
        slot = keys.get("slot")
        if not isinstance(slot, int) or slot not in self._slots:
            raise UserError(f"slot: {shown(slot)} holds no model")
        return self._slots[slot]


def _warm_up(decoding: Decoding, fewest: int) -> None:
    """Decode at least `fewest` times, until two calls in a row take about equally long."""
    previous_ms = inf
    for number in range(1, MOST_WARMUP + 1):
        call_ms = sum(decoding.time())
        if number >= fewest and abs(call_ms / previous_ms - 1) < STABLE:
            return
        previous_ms = call_ms


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
    """Answer each line of `requests` with a line of `answers`, until the requests end."""
    agent = Agent()
    for line in requests:
        try:
            answer = agent.answer(json.loads(line))
        except (ValueError, RecursionError) as error:
            answer = {"error": f"request: not JSON ({error})", "exit_code": UserError.exit_code}
        except HatError as error:
            answer = {"error": str(error), "exit_code": error.exit_code}
        except MemoryError:
            answer = {"error": "the device's memory is full", "exit_code": HatError.exit_code}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
