"""One contender of `contention.py` in its process: works for the time that each input line asks for.

An input line is {"state": name, "seconds": n}; the answer is {"tokens": n, "seconds": n, "threads": n}:
target tokens of the finished work, and the time it took. Networks and sentences are random, of the demo's
design space.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hat import zoo
from hat.architecture import ModelConfig
from hat.data import Batch
from hat.space import DesignSpace
from hat.threads import available_threads

if TYPE_CHECKING:
    from hat.model import SuperTransformer

VOCABULARY, SENTENCES, LENGTH = 2400, 64, 16
STEPS, BEAM = 30, 5

# Does one piece of work in a state; returns its target tokens and its threads.
Work = Callable[[str], tuple[int, int]]


def batch(seed: int) -> Batch:
    """64 random sentences of 16 tokens."""
    tokens = np.random.default_rng(seed).integers(4, VOCABULARY, (SENTENCES, LENGTH))
    rows = np.arange(SENTENCES)
    return Batch(tokens, target_in=tokens, target_out=tokens, target_tokens=tokens.size, rows=rows)


def _network(space: DesignSpace) -> "SuperTransformer":
    import torch  # noqa: PLC0415  (the translating contenders do without)

    from hat.model import Dropout, SuperTransformer  # noqa: PLC0415

    torch.manual_seed(0)
    return SuperTransformer(ModelConfig(space.largest(), VOCABULARY, VOCABULARY), Dropout(0.0, 0.0))


def training(threads: str) -> Work:
    """Updates of the demo's SuperTransformer. `threads`: "measured" (at the first work in each state), "idle"
    (as measured in that state), or "all"."""
    from hat.training import (  # noqa: PLC0415
        Position,
        SuperTrainee,
        TrainingSettings,
        UniformSampling,
        Updater,
    )

    space = zoo.space("demo")
    trainee = SuperTrainee(_network(space), UniformSampling(space), space.smallest())
    updater = Updater(trainee, TrainingSettings(updates=10**6))
    text = batch(0)
    update = 0

    def trial(number: int) -> None:
        trainee.module.train()
        updater.add_gradients(updater.networks(number), text)
        updater.zero_grad()

    choose = _chooser(threads, trial)

    def work(state: str) -> tuple[int, int]:
        nonlocal update
        chosen = choose(state)
        trainee.module.train()
        updater.add_gradients(updater.networks(update), text)
        updater.step(text.target_tokens, Position(update))
        updater.zero_grad()
        update += 1
        return text.target_tokens, chosen

    return work


def evaluation(threads: str) -> Work:
    """Validation losses of candidates of the demo's design space. `threads`: as in `training`."""
    from hat.search import candidate_loss  # noqa: PLC0415
    from hat.training import TrainingSettings  # noqa: PLC0415

    space, settings = zoo.space("demo"), TrainingSettings(updates=1)
    network, batches = _network(space), [batch(seed) for seed in range(3)]
    loss = candidate_loss(network, batches, settings)
    briefly = candidate_loss(network, batches[:1], settings)
    drawn = random.Random(0)
    choose = _chooser(threads, lambda number: briefly(space.sample(random.Random(number))))

    def work(state: str) -> tuple[int, int]:
        chosen = choose(state)
        loss(space.sample(drawn))
        return sum(one.target_tokens for one in batches), chosen

    return work


def translation(engine: str, threads: int) -> Work:
    """Whole decodes, batch 1, of the benchmark's 6 + 1 layers with a small vocabulary, at int8."""
    from architectures import HAT  # noqa: PLC0415
    from hat.hardware import MeasureProtocol, forced  # noqa: PLC0415
    from hat.runtime import Artefact, EngineSettings, load_engine  # noqa: PLC0415

    protocol = MeasureProtocol((STEPS,), (STEPS,), beam=BEAM)
    artefact = Artefact.random(ModelConfig(HAT, 8000, 8000), 0, "int8")
    run = forced(load_engine(engine, artefact, EngineSettings(threads)), protocol)
    source = [*random.Random(0).choices(range(4, 8000), k=STEPS - 1), 2]

    def work(state: str) -> tuple[int, int]:
        run([source])
        return STEPS, threads

    return work


def _chooser(threads: str, trial: Callable[[int], object]) -> Callable[[str], int]:
    """A function that gives the number of threads for a state, and makes PyTorch use them."""
    from hat.training import use_threads  # noqa: PLC0415

    folders: dict[str, Path] = {}

    def choose(state: str) -> int:
        name = "idle" if threads == "idle" else state
        if name not in folders:
            folders[name] = Path(tempfile.mkdtemp(prefix="contention-"))
        return use_threads(folders[name], available_threads() if threads == "all" else "auto", trial)

    return choose


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("training", "evaluation", "native", "onnxruntime"))
    parser.add_argument("threads", help="a number, or measured, idle or all")
    options = parser.parse_args()
    if options.kind in ("training", "evaluation"):
        work = {"training": training, "evaluation": evaluation}[options.kind](options.threads)
    else:
        work = translation(options.kind, int(options.threads))
    for line in sys.stdin:
        asked = json.loads(line)
        work(asked["state"])  # choosing threads, warming up
        tokens, used, started = 0, 0, time.perf_counter()
        while time.perf_counter() - started < asked["seconds"]:
            done, used = work(asked["state"])
            tokens += done
        taken = time.perf_counter() - started
        print(json.dumps({"tokens": tokens, "seconds": taken, "threads": used}), flush=True)


if __name__ == "__main__":
    main()
