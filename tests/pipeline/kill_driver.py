"""One stage in a process of its own, to be killed: python -m tests.pipeline.kill_driver RECIPE DIR STAGE [N].

A moment of the stage is a report of progress, or something about to be done to a file of the run:
opened for writing, renamed or removed. At the N-th moment the process kills itself; without N it
does the stage and prints how many moments that took, which is the same however slow the machine
is. The device is the injected, deterministic one.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hat.pipeline import load_recipe, run
from hat.progress import Progress
from tests.pipeline.tiny import flops_timer

CHANGES = ("os.rename", "os.remove", "shutil.rmtree")
# Written when the clock says so, or by another thread.
IRREGULAR = ("cost.json", "tensorboard")


class Moments:
    """Counts the moments from the first thing the stage says on, and dies of the `fatal` one."""

    def __init__(self, root: Path, fatal: int) -> None:
        self.root, self.fatal = str(root), fatal
        self.begun = False
        self.count = 0
        sys.addaudithook(self.hear)

    def say(self, line: str) -> None:
        self.begun = True

    @contextmanager
    def working(self, name: str) -> Iterator[Progress]:
        self.begun = True
        yield lambda done, total, note: self.pass_one()

    def hear(self, event: str, arguments: tuple[object, ...]) -> None:
        """An audit hook: the interpreter is about to do something."""
        if self.begun and (event in CHANGES or (event == "open" and _writes(arguments[2]))):
            path = str(arguments[0])
            if path.startswith(self.root) and not any(name in path for name in IRREGULAR):
                self.pass_one()

    def pass_one(self) -> None:
        self.count += 1
        if self.count == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)


def _writes(flags: object) -> bool:
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))


def main(recipe: str, folder: str, stage: str, fatal: str = "0") -> None:
    moments = Moments(Path(folder), int(fatal))
    run(load_recipe(recipe), Path(folder), stages=(stage,), timer=flops_timer, reporter=moments)
    print(moments.count)


if __name__ == "__main__":
    main(*sys.argv[1:])
