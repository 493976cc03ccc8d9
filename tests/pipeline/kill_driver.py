"""Runs a recipe in a process of its own, to be killed: python -m tests.pipeline.kill_driver RECIPE DIR.

Says on standard output when it begins and ends a step. The device is the injected, deterministic one.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hat.pipeline import load_recipe, run
from hat.progress import Progress
from tests.pipeline.tiny import flops_timer

PAUSE = 0.02  # at each report of progress: makes short stages long enough to be hit in the middle


class Announcer:
    def say(self, line: str) -> None:
        pass

    @contextmanager
    def working(self, name: str) -> Iterator[Progress]:
        print(f"begin {name}", flush=True)
        yield lambda done, total, note: time.sleep(PAUSE)
        print(f"end {name}", flush=True)


if __name__ == "__main__":
    run(load_recipe(sys.argv[1]), Path(sys.argv[2]), timer=flops_timer, reporter=Announcer())
