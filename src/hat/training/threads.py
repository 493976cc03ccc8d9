"""The number of processor threads for work with a network: the user's, or the best in a short measurement of
that work. The number is recorded: it decides the order in which sums are rounded, and a resumed training has
to end in the same bytes."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from pathlib import Path
from time import perf_counter
from typing import Literal

import torch

from hat.errors import UserError
from hat.files import check_keys, read_json, write_json
from hat.threads import available_threads, check_can_start, own_threads, processor
from hat.training.accelerator import accelerator

RECORD = "threads.json"
# The fewest threads whose time is within this factor of the least win: they leave other processes more room.
NEAR = 1.05
# Numbers of threads whose first trial takes this many times the least time are not tried again.
HOPELESS = 1.5
ENOUGH_SECONDS, MOST_ROUNDS = 2.0, 15
# A training whose updates have become SLOWER times as slow shares its cores with other processes. Averages
# over a window of updates and seconds are compared: a SuperTransformer's updates differ, as its samples do.
SLOWER, WINDOW_UPDATES, WINDOW_SECONDS = 1.5, 50, 5.0
# Seconds after which the machine may have become idle again: a measurement takes 1 % of them.
RARELY = 100 * ENOUGH_SECONDS

# Runs one piece of the work, given its number, without a lasting effect.
Trial = Callable[[int], object]
Threads = int | Literal["auto"]


def start_threads() -> int:
    """The number of threads for work that is not measured: the user's environment's, or else all."""
    return own_threads() or min(torch.get_num_threads(), available_threads())


def use_threads(folder: Path | None, asked: Threads, trial: Trial) -> int:
    """Let PyTorch use `asked` threads; the number is recorded in `folder`, if it is given, and returned.

    "auto": the number in the user's environment, or else the recorded one of this work, or else the result of
    measuring `trial`. The record is valid on the same processor, if as many threads are available. Raises
    UserError for a damaged record, HatError if the system refuses the threads.
    """
    given, known = _without_measuring(asked), recorded(folder / RECORD) if folder else None
    threads = given or known or _best(trial)
    _set(threads)
    if folder and threads != known:
        record(folder / RECORD, threads, measured=given is None)
    return threads


class TrainingThreads:
    """The threads of a training, chosen by `use_threads`, and again where the machine has become busier or
    idler: only at checkpoints, so that a training resumed from a checkpoint has the recorded number.

    `due`: true if updates have become slower since the last measurement, or if that was long ago. The
    training then writes a checkpoint and calls `measure_again`.
    """

    def __init__(self, folder: Path | None, asked: Threads, trial: Trial) -> None:
        use_threads(folder, asked, trial)
        self._folder, self._trial = folder, trial
        self._open = _without_measuring(asked) is None and available_threads() > 1
        self._begin()

    def _begin(self) -> None:
        self.due = False
        self._since, self._least = perf_counter(), inf
        self._updates, self._seconds = 0, 0.0

    @contextmanager
    def update(self) -> Iterator[None]:
        """Context that times one update."""
        began = perf_counter()
        yield
        self._updates += 1
        self._seconds += perf_counter() - began
        if self._open and self._updates >= WINDOW_UPDATES and self._seconds >= WINDOW_SECONDS:
            taken = self._seconds / self._updates
            self._least = min(self._least, taken)
            self._updates, self._seconds = 0, 0.0
            self.due = taken > SLOWER * self._least or perf_counter() - self._since > RARELY

    def measure_again(self) -> None:
        """Choose the number of threads again, and record it, for the updates after a checkpoint."""
        threads = _best(self._trial)
        _set(threads)
        if self._folder:
            record(self._folder / RECORD, threads, measured=True)
        self._begin()


def measure(
    counts: Sequence[int], trial: Trial, use: Callable[[int], object] | None = None
) -> dict[int, float]:
    """Seconds of a trial with each number of threads, most first; in turn, so that a disturbance of the
    machine affects all of them. Hopeless numbers are left out. `use`: makes the trials use another number of
    something else than threads."""
    use = use or _set
    began, first = perf_counter(), dict[int, float]()
    for count in counts:
        first[count] = min(_seconds(count, trial, number, use) for number in range(2))
        if first[count] > HOPELESS * min(first.values()):
            break  # even fewer threads would be even slower
    best = min(first.values())
    times: dict[int, list[float]] = {count: [] for count, taken in first.items() if taken <= HOPELESS * best}
    for number in range(MOST_ROUNDS):
        for count, taken in times.items():
            taken.append(_seconds(count, trial, number, use))
        if perf_counter() - began > ENOUGH_SECONDS:
            break
    return {count: statistics.median(taken) for count, taken in times.items()}


def chosen(times: dict[int, float]) -> int:
    """The fewest threads that take nearly the least time."""
    return min(count for count, taken in times.items() if taken <= NEAR * min(times.values()))


def _best(trial: Trial) -> int:
    counts = counts_up_to(available_threads())
    return chosen(measure(counts, trial)) if len(counts) > 1 else counts[0]


def counts_up_to(most: int) -> list[int]:
    """Powers of two and `most`, most first."""
    return sorted({most, *(1 << power for power in range(most.bit_length()))}, reverse=True)


def _seconds(count: int, trial: Trial, number: int, use: Callable[[int], object]) -> float:
    use(count)
    began = perf_counter()
    trial(number)
    return perf_counter() - began


def _set(threads: int) -> None:
    if torch.get_num_threads() != threads:
        check_can_start(threads)  # OpenMP ends the process if it cannot start a thread
        torch.set_num_threads(threads)


def _without_measuring(asked: Threads) -> int | None:
    """The number of threads without measuring: the user's, or that for work on a GPU; None to measure it."""
    given = own_threads() if asked == "auto" else asked
    return start_threads() if given is None and accelerator().type != "cpu" else given


def record(path: Path, count: int, *, measured: bool) -> None:
    """Record the number of something, which names the file, and the processor that it is for."""
    write_json(path, {path.stem: count, "processor": processor(), "measured": measured})


def recorded(path: Path) -> int | None:
    """The recorded number, of at most as many as there are threads; None without a record that is valid on
    this machine. Raises UserError for a damaged record."""
    if not path.exists():
        return None
    found = check_keys(read_json(path), (path.stem, "processor", "measured"), str(path))
    count = found[path.stem]
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise UserError(f"{path}: {path.stem}: {count!r} is not a positive whole number; delete the file")
    fits = found["processor"] == processor() and count <= available_threads()
    return count if fits else None
