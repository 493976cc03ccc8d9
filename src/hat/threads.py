"""Processor threads: the number that this process may use, and how long OpenMP's spin in waiting."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Event, Thread

from hat.control_groups import control_groups, lines
from hat.errors import HatError

# More than any machine has: a mistyped number must not exhaust this machine.
MOST_THREADS = 1024
# Variables by which users choose the number of threads. OpenBLAS, MKL and every OpenMP read the first.
COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
# By default a waiting thread spins for milliseconds (libgomp: 300,000 turns, LLVM's and Intel's: 200 ms);
# beside another busy process it then occupies a core that the thread it waits for needs. For each library:
# its variable, a value that lets threads sleep soon, and the user's variables that take precedence.
WAITING = (
    ("GOMP_SPINCOUNT", "10000", ("OMP_WAIT_POLICY", "GOMP_WAIT_POLICY")),  # turns: 0.1 to 0.5 ms
    ("KMP_BLOCKTIME", "1", ("OMP_WAIT_POLICY", "KMP_LIBRARY")),  # ms
)


def available_threads(root: Path = Path("/")) -> int:
    """The number of processor threads that this process may use, at least 1: its cores, or the whole cores in
    its CPU quota if that is less (1 of 1.5 cores: threads beyond a quota are stopped for the rest of its
    period). `root`: the folder with /proc and /sys/fs.
    """
    return max(1, min([_cores(), *_quotas(root)]))


def own_threads() -> int | None:
    """The number of threads that the user's environment asks for; None if it names none."""
    return _OWN


def check_can_start(threads: int) -> None:
    """Raises HatError if the system does not let this process run so many threads at once. For libraries that
    end the process when they cannot start a thread."""
    finish, started = Event(), list[Thread]()
    try:
        for number in range(1, threads):
            thread = Thread(target=finish.wait)
            start(thread, f"{number} of {threads} threads; use fewer, or")
            started.append(thread)
    finally:
        finish.set()
        for thread in started:
            thread.join()


def start(thread: Thread, how_many: str = "no more threads;") -> None:
    """Start a thread. Raises HatError if the system refuses it. `how_many`: those it allows, in words."""
    try:
        thread.start()
    except (RuntimeError, MemoryError) as error:
        raise HatError(
            f"the system lets this process start {how_many} allow it more memory or processes (ulimit -u, a "
            "container's pids limit)"
        ) from error


def processor() -> str:
    """The system's name of the processor."""
    info = "\n".join(lines(Path("/proc/cpuinfo")))
    model = re.search(r"^(?:model name|Model)\s*:\s*(.*)$", info, re.MULTILINE)
    if model:
        return model[1].strip()
    import platform  # noqa: PLC0415  (`import hat` has to be quick)

    return platform.processor() or platform.machine()


def openmp_defaults(environment: Mapping[str, str], root: Path = Path("/")) -> dict[str, str]:
    """Variables to add to `environment` before an OpenMP library is loaded; those already set are left alone.
    Waiting threads then sleep soon, and under a CPU quota there are no more threads than it allows."""
    added = {name: value for name, value, others in WAITING if environment.keys().isdisjoint((name, *others))}
    if environment.keys().isdisjoint(COUNTS) and available_threads(root) < _cores():
        added[COUNTS[0]] = str(available_threads(root))
    return added


def set_openmp_defaults() -> None:
    """Add `openmp_defaults` to this process's environment, which its children inherit."""
    os.environ |= openmp_defaults(os.environ)


def _cores() -> int:
    """The number of cores that the container or taskset leaves to this process."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _asked(environment: Mapping[str, str]) -> int | None:
    for name in COUNTS:
        # One number for each level of nested teams; HAT uses only the first level.
        count = re.fullmatch(r"\s*0*([1-9]\d{0,5})\s*(,.*)?", environment.get(name, ""))
        if count:
            return int(count[1])
    return None


# Read before HAT adds its default.
_OWN = _asked(os.environ)


def _quotas(root: Path) -> Iterator[int]:
    """The whole cores in the quota of each control group that this process is in, outer groups included."""
    for kind, folder in control_groups("cpu", root):
        limit, period = _quota(kind, folder)
        if limit > 0 and period > 0:
            yield limit // period


def _quota(kind: str, folder: Path) -> tuple[int, int]:
    """Microseconds of processor time in each period, and the period; zeros where there is no limit."""
    if kind == "cgroup2":
        values = " ".join(lines(folder / "cpu.max")).split()
    else:
        values = [line for name in ("quota", "period") for line in lines(folder / f"cpu.cfs_{name}_us")]
    if len(values) != 2 or not all(re.fullmatch(r"\d{1,18}", value) for value in values):
        return 0, 0  # "max", −1, or no such file
    return int(values[0]), int(values[1])
