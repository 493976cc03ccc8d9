"""A wheel that stands for HAT's."""

import zipfile
from pathlib import Path

from hat import __version__
from tests.hardware.rig import PRETEND

NAME = "hardware_aware_transformers"
INFO = f"{NAME}-{__version__}.dist-info"


def write_wheel(folder: Path, tags: str = "py3-none-any") -> Path:
    """Write a wheel that is named like HAT's and holds a pretended agent."""
    path = folder / f"{NAME}-{__version__}-{tags}.whl"
    files = {
        "hat/__init__.py": f"__version__ = '{__version__}'\n",
        "hat/hardware/__init__.py": "",
        "hat/hardware/agent.py": PRETEND.read_text(),
        f"{INFO}/METADATA": f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {__version__}\n",
        f"{INFO}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tags}\n",
    }
    record = "".join(f"{name},,\n" for name in (*files, f"{INFO}/RECORD"))
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in {**files, f"{INFO}/RECORD": record}.items():
            wheel.writestr(name, text)
    return path
