"""A GPU as PyTorch sees it, and its speed: large products, copies, starting an operation. Only PyTorch is
needed. Prints JSON objects, one a line.

    python benchmarks/gpu_machine.py [--rehearsal]
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

QUERY = "name,driver_version,clocks.sm,clocks.mem,clocks.max.sm,power.limit,memory.total"


def say(**row: Any) -> None:
    print(json.dumps(row), flush=True)


def driver() -> list[str]:
    """The lines of nvidia-smi; empty without one."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, f"--query-gpu={QUERY}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.strip().splitlines()


def machine() -> dict[str, Any]:
    """Versions and sizes."""
    row: dict[str, Any] = {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "cores": len(os.sched_getaffinity(0)),
        "compiler": shutil.which(os.environ.get("CXX", "c++")),
        "nvidia_smi": driver(),
    }
    if torch.cuda.is_available():
        about = torch.cuda.get_device_properties(0)
        row.update(
            gpu=about.name,
            capability=list(torch.cuda.get_device_capability(0)),
            multiprocessors=about.multi_processor_count,
            memory_bytes=about.total_memory,
            bf16=torch.cuda.is_bf16_supported(including_emulation=False),
            cudnn=torch.backends.cudnn.version(),
            attention={
                "flash": torch.backends.cuda.flash_sdp_enabled(),
                "memory-efficient": torch.backends.cuda.mem_efficient_sdp_enabled(),
                "cuDNN": torch.backends.cuda.cudnn_sdp_enabled(),
            },
        )
    return row


def seconds(work: Callable[[], object], times: int, device: str) -> float:
    """Median seconds of `work` after three warm-ups."""
    taken = []
    for _ in range(times + 3):
        finish(device)
        began = time.perf_counter()
        work()
        finish(device)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[3:])


def finish(device: str) -> None:
    """Wait for the GPU."""
    if device == "cuda":
        torch.cuda.synchronize()


def speeds(device: str, size: int, copied: int) -> dict[str, Any]:
    """Operations per second of a square product by precision, bytes per second of a copy, and microseconds
    for starting a small operation, alone and in a recorded graph."""
    row: dict[str, Any] = {"device": device, "product": size}
    for name, dtype, tf32 in (
        ("bfloat16", torch.bfloat16, False),
        ("float16", torch.float16, False),
        ("tf32", torch.float32, True),
        ("float32", torch.float32, False),
    ):
        if device == "cpu" and name in ("float16", "tf32"):
            continue
        torch.backends.cuda.matmul.allow_tf32 = tf32
        x, y = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        row[f"{name}_tflops"] = _short(2 * size**3 / seconds(lambda x=x, y=y: x @ y, 10, device) / 1e12)
    torch.backends.cuda.matmul.allow_tf32 = False
    x, y = (torch.ones(copied, dtype=torch.uint8, device=device) for _ in range(2))
    row["copy_gb_per_s"] = _short(2 * copied / seconds(lambda: y.copy_(x), 10, device) / 1e9)
    small, count = torch.ones(32, device=device), 1000

    def additions() -> None:
        for _ in range(count):
            small.add_(0)

    row["start_us"] = _short(1e6 * seconds(additions, 5, device) / count)
    if device == "cuda":
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            additions()
        row["start_in_graph_us"] = _short(1e6 * seconds(graph.replay, 5, device) / count)
    return row


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def main() -> None:
    tiny = "--rehearsal" in sys.argv
    say(**machine())
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not tiny:
        sys.exit("PyTorch finds no GPU here")
    say(**(speeds(device, 64, 1 << 20) if tiny else speeds(device, 8192, 1 << 30)))


if __name__ == "__main__":
    main()
