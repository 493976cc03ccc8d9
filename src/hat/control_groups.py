"""The control groups (Linux) by which containers and services limit a process."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def control_groups(controller: str, root: Path = Path("/")) -> Iterator[tuple[str, Path]]:
    """The groups that limit `controller` (cpu, memory) for this process, outer groups included: the kind of
    each (cgroup or cgroup2) and the folder of its files. `root`: the folder with /proc and /sys/fs."""
    groups = _groups(controller, root)
    for kind, within, mounted in _mounts(controller, root):
        if kind not in groups:
            continue
        group = PurePosixPath(groups[kind])
        inside = group.relative_to(within) if group.is_relative_to(within) else PurePosixPath()
        if ".." in inside.parts:  # a group outside of this process's namespace
            inside = PurePosixPath()
        for folder in (inside, *inside.parents):
            yield kind, root / mounted / folder


def _groups(controller: str, root: Path) -> dict[str, str]:
    """Kind of control groups → this process's group in the tree that limits the controller."""
    groups = {}
    for line in lines(root / "proc/self/cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if number == "0" and not controllers:
            groups["cgroup2"] = group
        elif controller in controllers.split(","):
            groups["cgroup"] = group
    return groups


def _mounts(controller: str, root: Path) -> Iterator[tuple[str, str, str]]:
    """Kind, root group and folder (below `root`) of each mounted tree of control groups."""
    for line in lines(root / "proc/self/mountinfo"):
        fields, _, system = line.partition(" - ")
        parts, kind, options = fields.split(" "), system.split(" ")[0], system.split(" ")[-1].split(",")
        if len(parts) > 4 and (kind == "cgroup2" or (kind == "cgroup" and controller in options)):
            yield kind, _unescaped(parts[3]), _unescaped(parts[4]).lstrip("/")


def _unescaped(path: str) -> str:
    """The path with the kernel's octal escapes of blanks resolved."""
    return re.sub(r"\\([0-7]{3})", lambda escape: chr(int(escape[1], 8)), path)


def lines(path: Path) -> list[str]:
    """The lines of a file of the kernel's; none where it cannot be read, as on another system than Linux."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
