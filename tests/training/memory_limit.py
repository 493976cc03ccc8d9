"""A training whose address space ends before its batches fit.

python -m tests.training.memory_limit FOLDER MIB
Without a prediction, so that memory does run out. Prints what the training says.
"""

import resource
import sys
from pathlib import Path

import torch

from hat import zoo
from hat.architecture import ModelConfig
from hat.model import Dropout, build
from hat.training import SubTrainee, TrainingSettings, loop, train
from hat.training.checkpoint import read_metadata
from tests.training.memory_worker import text


class EnoughError(Exception):
    pass


def stop(done: float, total: float, note: str) -> None:
    if done == 2:
        raise EnoughError


def main(folder: Path, room: int) -> None:
    torch.set_num_threads(1)
    store = text(folder / "text", 2000, 20)
    model = build(ModelConfig(zoo.space("demo").largest(), 2000, 2000), Dropout(0.1))
    plan = TrainingSettings(updates=9, batch_tokens=8000, threads=1, precision="fp32", validate_every=9)
    loop.free_memory = lambda processes: None  # type: ignore[assignment]
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (room << 20), resource.RLIM_INFINITY))
    try:
        train(
            SubTrainee(model), (store, store), settings=plan, folder=folder / "run", progress=stop, say=print
        )
    except EnoughError:
        print(read_metadata(folder / "run" / "checkpoint.safetensors")["parts"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
