"""The machine and software that a measurement depends on besides the model: recorded, never changed."""

import os
import platform
import re
import resource
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hat.engine_specs import ENGINES
from hat.threads import available_threads, processor
from hat.version import __version__

CPU = Path("/sys/devices/system/cpu")
THERMAL = Path("/sys/class/thermal")
# The longest wait for nvidia-smi, and the most GPUs that are listed.
NVIDIA_SECONDS, MOST_GPUS = 20.0, 100
# numpy and the libraries of the engines.
LIBRARIES = ("numpy", *(spec.library for spec in ENGINES.values() if spec.library))
# The instruction sets that decide which matrix kernels run: x86 names, then ARM's.
FLAGS = (
    *("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni"),
    *("amx_bf16", "amx_int8", "asimd", "asimddp", "i8mm", "bf16", "sve"),
)


def environment() -> dict[str, Any]:
    """The machine, its state and the versions in use, as JSON data; None for an unknown entry."""
    info = _read(Path("/proc/cpuinfo")) or ""
    flags_line = re.search(r"^(?:flags|Features)\s*:(.*)$", info, re.MULTILINE)
    flags = flags_line.group(1).split() if flags_line else []
    return {
        "cpu": processor(),
        "machine": platform.machine(),
        "flags": [flag for flag in FLAGS if flag in flags],
        "cores": os.cpu_count(),
        "cores_allowed": available_threads(),
        "threads_per_core": _threads_per_core(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "governor": _read(CPU / "cpu0/cpufreq/scaling_governor"),
        "turbo_off": _read(CPU / "intel_pstate/no_turbo"),
        **state(),
        "gpus": nvidia_gpus("name,driver_version,clocks.sm,clocks.mem,clocks.max.sm,power.limit"),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "hat": __version__,
        **{name: installed_version(name) for name in LIBRARIES},
    }


def state() -> dict[str, float | None]:
    """The machine's changing state: load, the hottest sensor (°C), the first core's clock (MHz)."""
    temperatures = [read_number(path) for path in sorted(THERMAL.glob("thermal_zone*/temp"))]
    clock = read_number(CPU / "cpu0/cpufreq/scaling_cur_freq")
    return {
        "load_average": os.getloadavg()[0],
        "temperature_c": max((t / 1000 for t in temperatures if t is not None), default=None),
        "clock_mhz": None if clock is None else clock / 1000,
    }


def preemptions() -> int:
    """The number of times that the system took a core away from this process's threads."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def resident_bytes() -> int:
    """Bytes of this process's memory that are resident now; 0 if unknown."""
    return _status_bytes("VmRSS") or 0


def peak_bytes() -> int:
    """The peak of this process's resident memory, in bytes.

    Linux lets the figure of `getrusage` survive exec, so that a small child of a large process would report
    its parent's peak.
    """
    if peak := _status_bytes("VmHWM"):
        return peak
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if platform.system() == "Darwin" else used * 1024


def _status_bytes(name: str) -> int | None:
    """A size that Linux gives for this process in /proc/self/status; None on other systems."""
    line = re.search(rf"^{name}:\s*(\d+) kB$", _read(Path("/proc/self/status")) or "", re.MULTILINE)
    return int(line.group(1)) * 1024 if line else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def read_number(path: Path) -> float | None:
    """The number in a file; None where there is none."""
    try:
        return float(_read(path) or "")
    except ValueError:
        return None


def nvidia_gpus(fields: str) -> list[str]:
    """One line for each NVIDIA GPU: its `fields`, as nvidia-smi prints them; [] if it does not answer."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, f"--query-gpu={fields}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=NVIDIA_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.decode(errors="replace").strip().splitlines()[:MOST_GPUS]


def _threads_per_core() -> int | None:
    siblings = _read(CPU / "cpu0/topology/thread_siblings_list")
    return None if siblings is None else len(re.findall(r"\d+", siblings))


def installed_version(name: str) -> str | None:
    """The version of an installed distribution; None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
