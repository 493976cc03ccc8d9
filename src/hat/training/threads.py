"""How many processor threads a piece of work with a network gets: what the user says, or what a short
measurement of that very work says. It is recorded, since sums are rounded in another order on another
number of threads, and a resumed training has to end in the same bytes.
"""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Literal

import torch

from hat.errors import UserError
from hat.files import check_keys, read_json, write_json
from hat.threads import available_threads, check_can_start, own_threads, processor
from hat.training.device import training_device

RECORD = "threads.json"
KEYS = ("threads", "processor", "measured")
# Fewer threads are as good within so much of the least time: they leave other processes more room.
NEAR = 1.05
# Numbers of threads this far from the least time are given up after their first trial.
HOPELESS = 1.5
ENOUGH_SECONDS, MOST_ROUNDS = 2.0, 15

# One piece of the work, by number: it changes nothing.
Trial = Callable[[int], object]
Threads = int | Literal["auto"]


def start_threads() -> int:
    """The threads of work that is not measured: what the user's environment says, or else all."""
    return own_threads() or min(torch.get_num_threads(), available_threads())


def use_threads(folder: Path, asked: Threads, trial: Trial) -> int:
    """Let PyTorch use `asked` threads; the number is recorded in `folder` and returned.

    "auto": as many as the user's environment says, or else as this work was begun with, or else as a
    measurement of `trial` says. The record holds on the same processor, where it has so many threads.
    Raises UserError for a damaged record, HatError where the system refuses the threads.
    """
    own = own_threads() if asked == "auto" else asked
    if own is None and training_device().type != "cpu":
        own = start_threads()
    recorded = _recorded(folder / RECORD)
    threads = own or recorded or chosen(measure(_counts(available_threads()), trial))
    _set(threads)
    if threads != recorded:
        write_json(folder / RECORD, {"threads": threads, "processor": processor(), "measured": own is None})
    return threads


def measure(counts: Sequence[int], trial: Trial) -> dict[int, float]:
    """Seconds of a trial with each number of threads, most first; in turn, so that what disturbs the
    machine disturbs all alike. The hopeless are left out."""
    if len(counts) == 1:
        return {counts[0]: 0.0}
    began, first = perf_counter(), dict[int, float]()
    for count in counts:
        first[count] = min(_seconds(count, trial, number) for number in range(2))
        if first[count] > HOPELESS * min(first.values()):
            break  # still fewer would be slower still
    best = min(first.values())
    times: dict[int, list[float]] = {count: [] for count, taken in first.items() if taken <= HOPELESS * best}
    for number in range(MOST_ROUNDS):
        for count, taken in times.items():
            taken.append(_seconds(count, trial, number))
        if perf_counter() - began > ENOUGH_SECONDS:
            break
    return {count: statistics.median(taken) for count, taken in times.items()}


def chosen(times: dict[int, float]) -> int:
    """The fewest threads that take about the least time."""
    return min(count for count, taken in times.items() if taken <= NEAR * min(times.values()))


def _counts(most: int) -> list[int]:
    """Powers of two and `most`, most first."""
    return sorted({most, *(1 << power for power in range(most.bit_length()))}, reverse=True)


def _seconds(count: int, trial: Trial, number: int) -> float:
    _set(count)
    began = perf_counter()
    trial(number)
    return perf_counter() - began


def _set(threads: int) -> None:
    if torch.get_num_threads() != threads:
        check_can_start(threads)  # where OpenMP cannot start a thread, it ends the process
        torch.set_num_threads(threads)


def _recorded(path: Path) -> int | None:
    """The number of threads that this work was begun with here; None where that does not hold any more."""
    if not path.exists():
        return None
    record = check_keys(read_json(path), KEYS, str(path))
    threads = record["threads"]
    if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
        raise UserError(f"{path}: threads: {threads!r} is not a positive whole number; delete the file")
    fits = record["processor"] == processor() and threads <= available_threads()
    return threads if fits else None
