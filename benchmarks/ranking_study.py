"""The trainings of `ranking.py`: architectures alone, and SuperTransformers by sampling strategy.

Each result is a line of JSON; a training that was stopped goes on from its checkpoint.
"""

import json
import random
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import torch

from hat import Run
from hat.architecture import Architecture
from hat.data import Batch, TokenStore, collate, epoch_batches, sequential_batches
from hat.files import digest
from hat.lines import read_lines
from hat.model import Dropout, SuperTransformer, build
from hat.progress import Progress
from hat.search import candidate_loss
from hat.training import (
    SAMPLINGS,
    Position,
    SubTrainee,
    SuperTrainee,
    SuperTrainingSettings,
    TrainingResult,
    TrainingSettings,
    Updater,
    train,
)

Row = dict[str, Any]
TRAININGS = "trainings"
COST_UPDATES = 30  # of each strategy, in turn


class OutOfTimeError(Exception):
    """The processor time given is used up."""


class Rows:
    """Finished results by key, one line of JSON each; a line that a kill cut short is written again.
    `seconds`: processor time of this process after which no result is begun."""

    def __init__(self, path: Path, seconds: float = inf) -> None:
        self.path, self.seconds = path, seconds
        self.known: dict[str, Row] = {}
        whole = [line for line in (read_lines(path) if path.exists() else []) if line.endswith("}")]
        for line in whole:
            row = json.loads(line)
            self.known[row["key"]] = row

    def get(self, inputs: Mapping[str, Any], work: Callable[[str], Row]) -> Row:
        """The row of these inputs: known, or the result of `work`, which is given their key. Raises
        OutOfTimeError."""
        key = digest(dict(inputs))[:16]
        if key not in self.known:
            began = time.process_time()
            if began >= self.seconds:
                raise OutOfTimeError
            row = {"key": key, **inputs, **work(key)}
            row["processor_seconds"] = round(time.process_time() - began, 1)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            start = "\n" if self.path.exists() and not self.path.read_bytes().endswith(b"\n") else ""
            with self.path.open("a", encoding="utf-8", newline="\n") as stream:
                stream.write(start + json.dumps(row) + "\n")
            self.known[key] = row
        return self.known[key]


@dataclass
class Study:
    """Trainings on the text and in the design space of a run, recorded in `folder`. `seconds`: as for `Rows`;
    all methods that train raise OutOfTimeError."""

    run: Run
    folder: Path
    seconds: float = inf

    def __post_init__(self) -> None:
        self.run.work(["prepare"])
        self.texts = self.run.token_stores()
        self.rows = Rows(self.folder / "rows.jsonl", self.seconds)
        recipe = self.run.recipe
        self.task = {
            "space": self.run.space.to_dict(),
            "norm": recipe.norm,
            "text": {"seed": recipe.seed, **recipe.data.model_dump(mode="json", exclude_defaults=True)},
        }

    def architectures(self, count: int) -> list[Architecture]:
        """`count` different architectures of the space, drawn uniformly."""
        rng, drawn = random.Random(0), dict[Architecture, None]()
        while len(drawn) < count:
            drawn[self.run.space.sample(rng)] = None
        return list(drawn)

    def alone(
        self, architecture: Architecture, seed: int, settings: TrainingSettings, progress: Progress
    ) -> float:
        """The validation loss of an architecture that is trained from nothing."""
        inputs = {
            "kind": "alone",
            **self.task,
            "architecture": architecture.to_dict(),
            "seed": seed,
            "training": _inputs(settings),
        }

        def work(key: str) -> Row:
            torch.manual_seed(seed)
            network = build(self.run.model_config(architecture), _dropout(settings))
            return {"loss": self._train(SubTrainee(network), key, settings, seed, progress).loss}

        return float(self._row(inputs, work)["loss"])

    def inherited(
        self,
        architectures: Sequence[Architecture],
        seed: int,
        settings: SuperTrainingSettings,
        progress: Progress,
    ) -> list[float]:
        """The validation losses of architectures with the weights of a SuperTransformer."""
        inputs = {
            "kind": "inherited",
            **self.task,
            "architectures": [one.short_hash() for one in architectures],
            "seed": seed,
            "training": _inputs(settings),
        }

        def work(key: str) -> Row:
            trainee = self._super(seed, settings)
            self._train(trainee, key, settings, seed, progress)
            valid = self.texts[1]
            batches = [collate(valid, rows) for rows in sequential_batches(valid, settings.batch_tokens)]
            loss = candidate_loss(trainee.model, batches, settings)
            return {"losses": [loss(one) for one in architectures]}

        return [float(loss) for loss in self._row(inputs, work)["losses"]]

    def step_costs(self, strategies: Mapping[str, SuperTrainingSettings]) -> dict[str, float]:
        """Processor time of an update of each strategy, relative to the first one's: means over updates on
        the same batches, in turn."""
        inputs = {
            "kind": "cost",
            **self.task,
            "training": {name: _inputs(settings) for name, settings in strategies.items()},
        }

        def work(key: str) -> Row:
            updaters = {name: Updater(self._super(1, one), one) for name, one in strategies.items()}
            batches = _batches(self.texts[0], next(iter(strategies.values())).batch_tokens)
            times: dict[str, list[float]] = {name: [] for name in strategies}
            for update, batch in zip(range(COST_UPDATES), batches, strict=False):
                for name, updater in updaters.items():
                    began = time.process_time()
                    networks = updater.networks(update)
                    updater.zero_grad()
                    updater.add_gradients(networks, batch)
                    updater.step(batch.target_tokens * len(networks), Position(update))
                    times[name].append(time.process_time() - began)
            means = {name: statistics.fmean(taken[2:]) for name, taken in times.items()}
            first = next(iter(means.values()))
            return {"relative": {name: round(mean / first, 2) for name, mean in means.items()}}

        return dict(self.rows.get(inputs, work)["relative"])

    def processor_seconds(self) -> float:
        """The processor time of all finished results."""
        return sum(float(row["processor_seconds"]) for row in self.rows.known.values())

    def _super(self, seed: int, settings: SuperTrainingSettings) -> SuperTrainee:
        torch.manual_seed(seed)
        space = self.run.space
        network = SuperTransformer(self.run.model_config(space.largest()), _dropout(settings))
        sampling = SAMPLINGS[settings.sampling](space, seed, settings.draws)
        return SuperTrainee(network, sampling, space.smallest())

    def _train(
        self,
        trainee: SubTrainee | SuperTrainee,
        key: str,
        settings: TrainingSettings,
        seed: int,
        progress: Progress,
    ) -> TrainingResult:
        folder = self.folder / TRAININGS / key
        return train(trainee, self.texts, settings=settings, folder=folder, seed=seed, progress=progress)

    def _row(self, inputs: Mapping[str, Any], work: Callable[[str], Row]) -> Row:
        row = self.rows.get(inputs, work)
        # The weights of hundreds of trainings would only take room.
        shutil.rmtree(self.folder / TRAININGS / row["key"], ignore_errors=True)
        return row


def _inputs(settings: TrainingSettings) -> Row:
    """The settings that decide the result, without those that have their defaults."""
    return settings.model_dump(mode="json", exclude={"checkpoint_every", "threads"}, exclude_defaults=True)


def _dropout(settings: TrainingSettings) -> Dropout:
    return Dropout(settings.dropout, settings.attention_dropout)


def _batches(store: TokenStore, budget: int) -> Iterator[Batch]:
    for rows in epoch_batches(store, budget, 1, 0):
        yield collate(store, rows)
