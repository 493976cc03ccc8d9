"""The trainings of `ranking.py`: architectures alone, and SuperTransformers by sampling strategy.

Each result is a line of JSON; a training that was killed goes on from its checkpoint.
"""

import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hat import Run
from hat.architecture import Architecture
from hat.data import TokenStore
from hat.files import digest
from hat.lines import read_lines
from hat.model import Dropout, build
from hat.pipeline.steps.results import PREPARE
from hat.progress import Progress
from hat.training import SubTrainee, TrainingSettings, train

Row = dict[str, Any]


class Rows:
    """Finished results by key, one line of JSON each; a line that a kill cut short is ignored."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, Row] = {}
        for line in read_lines(path) if path.exists() else []:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            self.known[row["key"]] = row

    def get(self, inputs: Mapping[str, Any], work: Callable[[str], Row]) -> Row:
        """The row of these inputs: known, or the result of `work`, which is given their key."""
        key = digest(dict(inputs))[:16]
        if key not in self.known:
            row = {"key": key, **inputs, **work(key)}
            with self.path.open("a", encoding="utf-8", newline="\n") as stream:
                stream.write(json.dumps(row) + "\n")
            self.known[key] = row
        return self.known[key]


def drawn(run: Run, count: int) -> list[Architecture]:
    """`count` different architectures of the run's space, drawn uniformly."""
    rng, found = random.Random(0), dict[Architecture, None]()
    while len(found) < count:
        found[run.space.sample(rng)] = None
    return list(found)


@dataclass
class Study:
    """The trainings of one run's space and text, in `folder`."""

    run: Run
    folder: Path

    def __post_init__(self) -> None:
        self.run.work(["prepare"])
        self.rows = Rows(self.folder / "rows.jsonl")
        prepared = self.run.status().steps
        del prepared

    def stores(self) -> tuple[TokenStore, TokenStore]:
        """Training and validation text."""
        context = self.run._context()
        return context.stores(PREPARE)

    def alone(
        self, architecture: Architecture, seed: int, settings: TrainingSettings, progress: Progress
    ) -> Row:
        """Train an architecture from nothing; its validation loss."""
        inputs = {
            "kind": "alone",
            "architecture": architecture.to_dict(),
            "seed": seed,
            "training": settings.model_dump(mode="json", exclude={"checkpoint_every", "threads"}),
        }

        def work(key: str) -> Row:
            torch.manual_seed(seed)
            began = time.process_time()
            config = self.run.model_config(architecture)
            network = build(config, Dropout(settings.dropout, settings.attention_dropout))
            folder = self.folder / "trainings" / key
            result = train(
                SubTrainee(network),
                self.stores(),
                settings=settings,
                folder=folder,
                seed=seed,
                progress=progress,
            )
            return {"loss": result.loss, "processor_seconds": round(time.process_time() - began, 1)}

        return self.rows.get(inputs, work)
