"""Trainings of one or several processes, of which one is killed at a random moment, again and again.

python -m tests.training.kills PROCESSES KILLS UPDATES SEED FOLDER; the processes are forked from this one,
which has imported everything already. The last line of its output tells the number of kills, and of trainings
that came to their end in spite of them, as JSON; it fails if one of these ends in other bytes than an
undisturbed one.
"""

import json
import os
import random
import select
import shutil
import signal
import sys
import time
import traceback
from contextlib import nullcontext
from pathlib import Path
from typing import NoReturn

import torch
from torch._C._distributed_c10d import FileStore

from hat.data import TokenStore
from hat.training import Task
from hat.training.distributed import ALONE, ConnectionLost, connected
from hat.training.loop import take_part
from hat.training.validation import SUMMARY
from tests.pipeline.kill_driver import Moments, Trial
from tests.training.tiny import RESULTS, settings, stores, supernet

# After so long a training hangs; after the end of one process, the others are killed.
HANGS_SECONDS, GRACE_SECONDS = 600.0, 10.0
ENDED, LOST = 0, 3


def member(rank: int, size: int, *, updates: int, folder: Path, moment: int) -> NoReturn:
    """The life of one process; it kills itself at a moment of its training (`Moments`), from 1, or never."""
    torch.set_num_threads(1)
    code = 1
    moments = Moments(Trial("", str(folder), "", moment))
    moments.begun = True
    try:
        texts = TokenStore.open(folder.parent / "train"), TokenStore.open(folder.parent / "valid")
        plan = settings(updates=updates, threads=1, validate_every=25, checkpoint_every=9)
        task = Task(supernet(), texts, plan)
        store = FileStore(str(folder.parent / "store"), size)
        alone = nullcontext(ALONE)
        with alone if size == 1 else connected(store, rank, size, threads=1) as world:
            take_part(world, task, folder=folder, progress=lambda *_: moments.pass_one())
        code = ENDED
    except ConnectionLost:
        code = LOST
    except BaseException:
        traceback.print_exc()
    os._exit(code)


def attempt(
    size: int, folder: Path, *, updates: int, victim: int = 0, moment: int = 0, seconds: float = 0.0
) -> bool:
    """Train, killing process `victim` at a moment of its training, after some seconds, or never; true if the
    training came to its end."""
    if (folder / SUMMARY).exists():
        return True
    (folder.parent / "store").unlink(missing_ok=True)
    children = []
    for rank in range(size):
        child = os.fork()
        if child == 0:
            member(rank, size, updates=updates, folder=folder, moment=moment if rank == victim else 0)
        children.append(child)
    if seconds:
        ended = os.pidfd_open(children[victim])
        select.select([ended], [], [], seconds)
        os.close(ended)
        os.kill(children[victim], signal.SIGKILL)
    codes = _exit_codes(children)
    assert set(codes) <= {ENDED, LOST, -signal.SIGKILL}, codes
    assert -signal.SIGKILL in codes or set(codes) == {ENDED}, codes
    return set(codes) == {ENDED}


def _exit_codes(children: list[int]) -> list[int]:
    """The exit codes of all. Once one has been killed, the others have some seconds, as torchrun gives them:
    they may be waiting for it to connect."""
    codes: dict[int, int] = {}
    deadline = time.monotonic() + HANGS_SECONDS
    while len(codes) < len(children):
        for child in set(children) - codes.keys():
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                codes[child] = os.waitstatus_to_exitcode(status)
                deadline = min(deadline, time.monotonic() + GRACE_SECONDS)
            elif time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    return [codes[child] for child in children]


def main(size: int, wanted: int, updates: int, seed: int, root: Path) -> None:
    rng = random.Random(seed)
    stores(root)
    whole, cut = root / "whole", root / "cut"
    whole.mkdir()
    began = time.monotonic()
    assert attempt(size, whole, updates=updates)
    seconds = time.monotonic() - began
    kills = trainings = 0
    while kills < wanted:
        cut.mkdir(exist_ok=True)
        # Process 0 has more moments than updates: it is about to write a file.
        moment = rng.randint(1, rng.choice((10, 50, updates)))
        how = {"moment": moment} if rng.random() < 0.5 else {"seconds": rng.uniform(0, seconds)}
        if not attempt(size, cut, updates=updates, victim=rng.randrange(size), **how):
            kills += 1
        if (kills == wanted and attempt(size, cut, updates=updates)) or (cut / SUMMARY).exists():
            for name in RESULTS:
                assert (cut / name).read_bytes() == (whole / name).read_bytes(), (name, seed, how)
            shutil.rmtree(cut)
            trainings += 1
    print(json.dumps({"kills": kills, "trainings": trainings}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:5]), Path(sys.argv[5]))
