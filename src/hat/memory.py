"""The memory that this process may still take."""

import re
import resource
from collections.abc import Iterator
from pathlib import Path

from hat.control_groups import control_groups, lines

# For each kind of control groups: its limit, its use, and the key in `memory.stat` of file content that the
# kernel gives up first.
LIMITS = {
    "cgroup2": ("memory.max", "memory.current", "inactive_file"),
    "cgroup": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def available_memory(root: Path = Path("/")) -> int | None:
    """Bytes that this process may take without swapping: what the machine has free, or what is left of the
    limits of its control groups or of its address space, if that is less. None where the system does not say.
    `root`: the folder with /proc and /sys/fs.
    """
    return min([*_machine(root), *_groups(root), *_address_space(root)], default=None)


def readable(count: float) -> str:
    """A number of bytes for people: 812 MB, 3.4 GB."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.0f} MB"


def _machine(root: Path) -> Iterator[int]:
    for line in lines(root / "proc/meminfo"):
        if found := re.fullmatch(r"MemAvailable:\s+(\d{1,15}) kB", line):
            yield int(found[1]) << 10


def _groups(root: Path) -> Iterator[int]:
    for kind, folder in control_groups("memory", root):
        limit, use, cached = LIMITS[kind]
        most, used = _number(folder / limit), _number(folder / use)
        if most is not None and used is not None:
            statistics = dict(line.split(" ", 1) for line in lines(folder / "memory.stat") if " " in line)
            given_up = statistics.get(cached, "0")
            yield max(0, most - used + (int(given_up) if given_up.isdecimal() else 0))


def _number(path: Path) -> int | None:
    """The number in a file; None where it says "max" or cannot be read."""
    found = re.fullmatch(r"\d{1,20}", " ".join(lines(path)).strip())
    return int(found[0]) if found else None


def _address_space(root: Path) -> Iterator[int]:
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = " ".join(lines(root / "proc/self/statm")).split(" ")[0]
    if most != resource.RLIM_INFINITY and pages.isdecimal():
        yield max(0, most - int(pages) * resource.getpagesize())
