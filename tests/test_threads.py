"""The number of threads, in containers too, and the settings of OpenMP before it is loaded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hat import threads
from hat.threads import available_threads, openmp_defaults

V2 = "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "33 32 0:30 {within} /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct"
OTHERS = (
    "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
    "34 32 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "35 32 0:32 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
)
SPINNING = {"GOMP_SPINCOUNT", "KMP_BLOCKTIME"}


@pytest.fixture(autouse=True)
def sixty_four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


def machine(root: Path, groups: str, mounts: str, **files: str) -> Path:
    """A file system whose control groups are as said; `files`: content of /sys/fs/cgroup by path."""
    for path, text in {"proc/self/cgroup": groups, "proc/self/mountinfo": OTHERS + mounts}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text + "\n")
    for path, text in files.items():
        file = root / "sys/fs/cgroup" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return root


def version_1(root: Path, group: str, within: str, **quotas: str) -> Path:
    """Quotas by folder below the mounted one; "" is that itself. The period is 50 ms."""
    files = {}
    for folder, quota in quotas.items():
        files[f"cpu,cpuacct/{folder}/cpu.cfs_quota_us"] = quota
        files[f"cpu,cpuacct/{folder}/cpu.cfs_period_us"] = "50000"
    groups = f"12:memory:/elsewhere\n4:cpu,cpuacct:{group}\n1:name=systemd:/\n0::/"
    return machine(root, groups, V1.format(within=within), **files)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("100000 100000", 1),  # docker run --cpus=1
        ("400000 100000", 4),
        ("150000 100000", 1),  # a second thread would be stopped half of the time
        ("20000 100000", 1),
        ("12800000 100000", 64),
        ("max 100000", 64),
        ("nonsense", 64),
        ("0 0", 64),
    ],
)
def test_a_quota_of_version_2_bounds_the_threads(tmp_path: Path, limit: str, expected: int) -> None:
    assert available_threads(machine(tmp_path, "0::/", V2, **{"cpu.max": limit})) == expected


@pytest.mark.parametrize(("limit", "expected"), [("100000", 2), ("25000", 1), ("-1", 64)])
def test_a_quota_of_version_1_bounds_the_threads(tmp_path: Path, limit: str, expected: int) -> None:
    # Docker mounts the container's own group; the path is as the host has it.
    root = version_1(tmp_path, "/docker/4f", "/docker/4f", **{"": limit})
    assert available_threads(root) == expected


def test_the_least_quota_of_nested_groups_counts(tmp_path: Path) -> None:
    files = {
        "kube/cpu.max": "300000 100000",
        "kube/pod/cpu.max": "600000 100000",
        "kube/pod/box/cpu.max": "max 100000",
        "other/cpu.max": "100000 100000",
    }
    assert available_threads(machine(tmp_path / "2", "0::/kube/pod/box", V2, **files)) == 3
    files["kube/pod/box/cpu.max"] = "200000 100000"
    assert available_threads(machine(tmp_path / "2", "0::/kube/pod/box", V2, **files)) == 2
    quotas = {"": "-1", "kube": "250000", "kube/pod": "150000", "kube/pod/box": "-1", "other": "50000"}
    assert available_threads(version_1(tmp_path / "1", "/kube/pod/box", "/", **quotas)) == 3


def test_both_versions_at_once(tmp_path: Path) -> None:
    root = version_1(tmp_path, "/a", "/", a="250000")
    mounts = (root / "proc/self/mountinfo").read_text() + V2.replace("/cgroup rw", "/cgroup/unified rw")
    (root / "proc/self/mountinfo").write_text(mounts)
    assert available_threads(root) == 5


def test_a_group_out_of_sight_and_odd_folders(tmp_path: Path) -> None:
    outside = machine(tmp_path / "a", "0::/../../host/box", V2, **{"cpu.max": "200000 100000"})
    assert available_threads(outside) == 2
    # The path is the host's, of which nothing is mounted here but the container's group.
    unseen = machine(tmp_path / "b", "0::/docker/4f", V2, **{"cpu.max": "300000 100000"})
    assert available_threads(unseen) == 3
    blank = V2.replace("/sys/fs/cgroup ", "/sys/fs/cgroup/with\\040blank ")
    spaced = machine(tmp_path / "c", "0::/", blank, **{"with blank/cpu.max": "400000 100000"})
    assert available_threads(spaced) == 4
    assert available_threads(machine(tmp_path / "d", "garbage", "more garbage -")) == 64


def test_cores_bound_the_threads_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = machine(tmp_path, "0::/", V2, **{"cpu.max": "800000 100000"})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    assert available_threads(root) == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert available_threads(root) == 6
    assert available_threads(tmp_path / "no such system") == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_threads(tmp_path / "no such system") == 1


def test_waiting_threads_are_told_to_sleep_soon() -> None:
    assert openmp_defaults({}).keys() >= SPINNING


@pytest.mark.parametrize(
    ("name", "left_alone"),
    [
        ("GOMP_SPINCOUNT", {"GOMP_SPINCOUNT"}),
        ("KMP_BLOCKTIME", {"KMP_BLOCKTIME"}),
        ("KMP_LIBRARY", {"KMP_BLOCKTIME"}),
        ("OMP_WAIT_POLICY", SPINNING),
    ],
)
def test_what_the_user_says_about_waiting_stands(name: str, left_alone: set[str]) -> None:
    assert not openmp_defaults({name: "7"}).keys() & left_alone
    assert openmp_defaults({name: "7"}).keys() >= SPINNING - left_alone


def test_libraries_start_no_more_threads_than_a_quota_allows(tmp_path: Path) -> None:
    limited = machine(tmp_path, "0::/", V2, **{"cpu.max": "200000 100000"})
    assert openmp_defaults({}, limited)["OMP_NUM_THREADS"] == "2"
    assert "OMP_NUM_THREADS" not in openmp_defaults({}, tmp_path / "no quota")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        assert "OMP_NUM_THREADS" not in openmp_defaults({name: "64"}, limited)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"OMP_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": " 4,2"}, 4),
        ({"MKL_NUM_THREADS": "5"}, 5),
        ({"OMP_NUM_THREADS": "many"}, None),
        ({"OMP_NUM_THREADS": "0"}, None),
    ],
)
def test_the_users_own_number_of_threads(environment: dict[str, str], expected: int | None) -> None:
    assert threads._asked(environment) == expected


@pytest.mark.parametrize("start", ["import hat", "import hat.hardware.agent", "from hat.cli import main"])
def test_it_is_said_before_a_library_is_loaded(start: str) -> None:
    """Whichever way HAT is started: as a program, as the agent, or from a program of the user's."""
    code = f"{start}; import os, sys; print('torch' in sys.modules, os.environ['GOMP_SPINCOUNT'])"
    plain = {name: value for name, value in os.environ.items() if name not in SPINNING}
    assert output(code, plain) == f"False {threads.WAITING[0][1]}"
    assert output(code, plain | {"GOMP_SPINCOUNT": "77"}) == "False 77"


def output(code: str, environment: dict[str, str]) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()
