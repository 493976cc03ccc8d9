"""Energy that the machine has used, by its own counters: RAPL of Intel and AMD, NVML of NVIDIA."""

import ctypes
from pathlib import Path

from hat.hardware.agent.environment import read_number

RAPL = Path("/sys/class/powercap")


class EnergyMeter:
    """The energy used between `start` and `joules` by all processor packages and NVIDIA GPUs.

    It is the whole machine's energy, not one process's. Most systems let only root read RAPL.
    """

    def __init__(self) -> None:
        self._packages = [
            (path / "energy_uj", read_number(path / "max_energy_range_uj") or 0)
            for path in sorted(RAPL.glob("intel-rapl:[0-9]"))
            if read_number(path / "energy_uj") is not None
        ]
        self._gpus = _Nvml.open()
        self._before: list[float] = []

    def start(self) -> None:
        """Remember the counters."""
        self._before = self._joules()

    def joules(self) -> float | None:
        """Joules used since `start`; None where no counter can be read."""
        after = self._joules()
        if not after:
            return None
        ranges = [limit / 1e6 for _, limit in self._packages] + [0.0] * (len(after) - len(self._packages))
        # A counter that is lower than before has overflowed and started again at zero.
        return sum(
            now - before if now >= before else now - before + limit
            for before, now, limit in zip(self._before, after, ranges, strict=True)
        )

    def _joules(self) -> list[float]:
        packages = [(read_number(path) or 0) / 1e6 for path, _ in self._packages]
        return packages + (self._gpus.joules() if self._gpus else [])


class _Nvml:
    """The GPUs' energy counters (millijoules since the driver was loaded), by NVML's C interface."""

    def __init__(self, library: ctypes.CDLL, devices: list[ctypes.c_void_p]) -> None:
        self._library, self._devices = library, devices

    @classmethod
    def open(cls) -> "_Nvml | None":
        try:
            library = ctypes.CDLL("libnvidia-ml.so.1")
        except OSError:
            return None
        count = ctypes.c_uint()
        if library.nvmlInit_v2() or library.nvmlDeviceGetCount_v2(ctypes.byref(count)):
            return None
        devices = []
        for index in range(count.value):
            device = ctypes.c_void_p()
            if library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(device)) == 0:
                devices.append(device)
        return cls(library, devices)

    def joules(self) -> list[float]:
        joules = []
        for device in self._devices:
            millijoules = ctypes.c_ulonglong()
            self._library.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(millijoules))
            joules.append(millijoules.value / 1000)
        return joules
