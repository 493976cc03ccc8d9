"""An agent's answers, each checked once, when it arrives: no data from a device is trusted."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeGuard

from hat.errors import named, shown
from hat.hardware.agent.environment import LIBRARIES
from hat.hardware.device.link import BadAnswer

# The largest time in milliseconds, and the largest number of bytes or events, that are plausible in a
# measurement; SQLite and floats can hold them.
MOST_MS, MOST_COUNT = 1e12, 2**53
# Limits of an environment: entries and items of a list, characters of a text.
MOST_ENTRIES, MOST_TEXT = 200, 1000


@dataclass(frozen=True)
class Timing:
    """One timed call.

    `pairs_ms`: milliseconds of a batch for each pair of lengths; `energy_j`: joules of the whole call, None
    if unknown; `preempted`: how often other work took a core away during the call.
    """

    pairs_ms: list[float]
    energy_j: float | None
    preempted: int


def read_environment(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The environment in an answer to `hello`: the entries of `environment()`, None for missing ones, and
    further entries with plain values. Raises BadAnswer."""
    entries = answer.get("environment")
    if not isinstance(entries, dict) or len(entries) > MOST_ENTRIES:
        raise _unexpected("hello", "environment", f"a mapping of at most {MOST_ENTRIES} entries", entries)
    environment = {**EMPTY, **entries}
    for name, value in environment.items():
        expected, is_right = KINDS.get(name, PLAIN)
        if not is_right(value):
            raise _unexpected("hello", f"environment.{named(name)}", expected, value)
    return environment


def read_slot(answer: Mapping[str, Any], taken: Collection[int]) -> tuple[int, int | None]:
    """Slot and bytes of memory in an answer to `load`. Raises BadAnswer, also for a slot that is `taken`."""
    slot, memory = answer.get("slot"), answer.get("memory_bytes")
    if not _is_count(slot) or slot in taken:
        raise _unexpected("load", "slot", "a whole number that no other model has", slot)
    if memory is not None and not _is_count(memory):
        raise _unexpected("load", "memory_bytes", "a number of bytes", memory)
    return slot, memory


def read_timing(answer: Mapping[str, Any], pairs: int) -> Timing:
    """The timing in an answer to `time`, of a model loaded for `pairs` pairs of lengths. Raises BadAnswer."""
    times, joules, preempted = (answer.get(name) for name in ("pairs_ms", "energy_j", "preempted"))
    if not isinstance(times, list) or len(times) != pairs or not all(map(is_time, times)):
        raise _unexpected("time", "pairs_ms", f"{pairs} positive numbers of milliseconds", times)
    if joules is not None and not (_is_number(joules) and joules >= 0):
        raise _unexpected("time", "energy_j", "a number of joules", joules)
    if not _is_count(preempted):
        raise _unexpected("time", "preempted", "a whole number", preempted)
    return Timing(list(map(float, times)), None if joules is None else float(joules), preempted)


def read_peak_memory(answer: Mapping[str, Any]) -> int | None:
    """The peak of resident memory in an answer to `state`, in bytes; None if unknown. Raises BadAnswer."""
    peak = answer.get("peak_memory_bytes")
    if peak is None or _is_count(peak):
        return peak
    raise _unexpected("state", "peak_memory_bytes", "a number of bytes", peak)


def is_time(value: object) -> bool:
    """True for a plausible time in milliseconds."""
    return _is_number(value) and 0 < value <= MOST_MS


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_COUNT


def _is_text(value: object) -> bool:
    return value is None or (isinstance(value, str) and len(value) <= MOST_TEXT)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and None not in value and _is_plain(value) and all(map(_is_text, value))


def _is_plain(value: object) -> bool:
    items = value if isinstance(value, list) else [value]
    return len(items) <= MOST_ENTRIES and all(isinstance(i, int | float) or _is_text(i) for i in items)


Kind = tuple[str, Callable[[Any], bool]]
TEXT: Kind = (f"a text of at most {MOST_TEXT} characters", _is_text)
TEXTS: Kind = ("a list of texts", _are_texts)
COUNT: Kind = ("a whole number", lambda value: value is None or _is_count(value))
NUMBER: Kind = ("a number", lambda value: value is None or _is_number(value))
PLAIN: Kind = ("a text, a number, or a list of such", _is_plain)
# For an entry that marks published latencies, which no device of ours has timed.
NOTHING: Kind = ("nothing", lambda value: False)
# The kind of each known entry of an environment.
KINDS: dict[str, Kind] = {
    **dict.fromkeys(("cpu", "machine", "governor", "turbo_off", "system", "python", "hat"), TEXT),
    **dict.fromkeys(LIBRARIES, TEXT),
    **dict.fromkeys(("flags", "gpus"), TEXTS),
    **dict.fromkeys(("cores", "cores_allowed", "threads_per_core", "memory_bytes"), COUNT),
    **dict.fromkeys(("load_average", "temperature_c", "clock_mhz"), NUMBER),
    "published": NOTHING,
}
EMPTY: dict[str, Any] = {
    name: [] if kind is TEXTS else None for name, kind in KINDS.items() if kind is not NOTHING
}


def _unexpected(operation: str, key: str, expected: str, value: object) -> BadAnswer:
    return BadAnswer(f"the device's answer to {operation!r}: {key}: expected {expected}, not {shown(value)}")
