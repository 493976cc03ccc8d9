"""The memory that a process may take, by what the system says of it."""

import resource
from pathlib import Path

import pytest

from hat.memory import available_memory, readable

GIB = 1 << 30


def system(root: Path, files: dict[str, str]) -> Path:
    """A folder with these files of /proc and /sys/fs."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


MACHINE = {"proc/meminfo": "MemTotal:       33554432 kB\nMemAvailable:   8388608 kB\n"}
NEW = {
    **MACHINE,
    "proc/self/cgroup": "0::/box\n",
    "proc/self/mountinfo": "30 20 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
    "sys/fs/cgroup/box/memory.max": f"{4 * GIB}\n",
    "sys/fs/cgroup/box/memory.current": f"{3 * GIB}\n",
    "sys/fs/cgroup/box/memory.stat": f"anon 5\ninactive_file {GIB}\n",
}
OLD = {
    **MACHINE,
    "proc/self/cgroup": "5:memory:/box\n",
    "proc/self/mountinfo": "30 20 0:1 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
    "sys/fs/cgroup/memory/box/memory.limit_in_bytes": f"{2 * GIB}\n",
    "sys/fs/cgroup/memory/box/memory.usage_in_bytes": f"{GIB}\n",
}
UNLIMITED = NEW | {"sys/fs/cgroup/box/memory.max": "max\n"}
OUTER = UNLIMITED | {"sys/fs/cgroup/memory.max": f"{GIB}\n", "sys/fs/cgroup/memory.current": f"{GIB}\n"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [({}, None), (MACHINE, 8 * GIB), (NEW, 2 * GIB), (OLD, GIB), (UNLIMITED, 8 * GIB), (OUTER, 0)],
)
def test_the_least_of_machine_and_control_groups_is_available(
    tmp_path: Path, files: dict[str, str], expected: int | None
) -> None:
    assert available_memory(system(tmp_path, files)) == expected


def test_a_limited_address_space_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (GIB, GIB))
    root = system(tmp_path, MACHINE | {"proc/self/statm": "1000 5 5\n"})
    assert available_memory(root) == GIB - 1000 * resource.getpagesize()


def test_this_machine_has_some() -> None:
    found = available_memory()
    assert found is None or found > 0


def test_bytes_for_people() -> None:
    assert [readable(one) for one in (812e6, 3.44e9, 1.2e12)] == ["812 MB", "3.4 GB", "1,200.0 GB"]
