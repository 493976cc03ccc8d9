"""Stages in processes that are killed, or whose disk fills up: python -m tests.pipeline.kill_driver.

Reads one trial a line from standard input, as JSON, does it in a forked process (which has imported
everything already), and answers with one line. A moment of a stage is a report of progress, or something
about to be done to a file of the run: opened for writing, renamed or removed. How many a stage has is the
same however slow the machine is. The device is the injected, deterministic one.
"""

import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from hat.errors import DiskFull
from hat.pipeline import load_recipe, run
from hat.progress import Progress
from tests.pipeline.tiny import flops_timer

CHANGES = ("os.rename", "os.remove", "shutil.rmtree")
# Written when the clock says so, or by another thread.
IRREGULAR = ("cost.json", "tensorboard")


@dataclass(frozen=True)
class Trial:
    """A stage to do. `moment`: of the disturbance, from 1; 0: none. `seconds`: after which the process is
    killed; 0: never. `ballast`: a file that takes the disk's free space at the moment, but for `slack`
    bytes; without one the process kills itself then."""

    recipe: str
    folder: str
    stage: str
    moment: int = 0
    seconds: float = 0.0
    ballast: str = ""
    slack: int = 0


@dataclass(frozen=True)
class Ending:
    """`how`: finished, killed, disk full, or a traceback. `moments`, `seconds`: until then."""

    how: str
    moments: int
    seconds: float


class Moments:
    """Counts the moments from the first thing the stage says on, and disturbs it at the one of the trial."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
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
            if path.startswith(self.trial.folder) and not any(name in path for name in IRREGULAR):
                self.pass_one()

    def pass_one(self) -> None:
        self.count += 1
        if self.count == self.trial.moment:
            if not self.trial.ballast:
                os.kill(os.getpid(), signal.SIGKILL)
            _fill(Path(self.trial.ballast), self.trial.slack)


def _writes(flags: object) -> bool:
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))


def _fill(ballast: Path, slack: int) -> None:
    with ballast.open("wb", buffering=0) as stream:
        for block in (1 << 20, 1 << 12):
            with suppress(OSError):
                while True:
                    stream.write(bytes(block))
        stream.truncate(max(0, stream.tell() - slack))


def _in_child(trial: Trial, answer: int) -> NoReturn:
    moments, begun = Moments(trial), time.monotonic()
    try:
        run(
            load_recipe(trial.recipe),
            Path(trial.folder),
            stages=(trial.stage,),
            timer=flops_timer,
            reporter=moments,
        )
        how = "finished"
    except DiskFull:
        how = "disk full"
    except BaseException:
        how = traceback.format_exc()
    ending = Ending(how, moments.count, time.monotonic() - begun)
    os.write(answer, json.dumps(asdict(ending)).encode())
    os._exit(0)


def attempt(trial: Trial) -> Ending:
    """Do a trial in a forked process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _in_child(trial, writing)
    os.close(writing)
    if trial.seconds:
        poll = select.poll()
        poll.register(ended := os.pidfd_open(child))
        poll.poll(trial.seconds * 1000)
        os.close(ended)
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reading) as stream:
        answer = stream.read()
    return Ending(**json.loads(answer)) if answer else Ending("killed", 0, 0.0)


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(asdict(attempt(Trial(**json.loads(line))))), flush=True)
