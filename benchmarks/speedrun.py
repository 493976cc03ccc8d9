"""A record with rules: training time until a network has a fixed validation loss.

Who changes a recipe below may change the optimiser, schedule, batch, initial weights, dropout, the order of
the text and what is sampled; never these:

- two networks. `transformer-6+2`: 6 encoder and 2 decoder layers, 128/512 wide, 4 heads. `supertransformer`:
  that of the space `multi30k`, judged by the mean of its largest and smallest SubTransformer's losses;
- two texts, English–German: Multi30k and Tatoeba, with 4,000 pieces learnt from their training text, shared;
- the loss: the negative log-likelihood of a reference token of the validation text, in nats, label smoothing
  left out, in float32, of the weights as they are after an update, every 50 updates;
- the target, TARGETS below: the time ends with the first validation at or below it;
- the time is that of `hat.training.train`, validations taken off;
- three seeds, which decide initial weights, order and dropout. Seconds and the processor's seconds are both
  recorded: the latter say something even on a busy machine, with one thread.

Every training is a JSON line with its date, commit, settings and curve in `records.jsonl`. The time until a
target is read from the curve, so a training that is there is repeated only where it ended above the target
and before its last update. The baseline is the recipe `multi30k` of commit 04afe2f.

    python benchmarks/speedrun.py [--data FOLDER] [--recipes baseline record] [--seeds 1 2 3] [--threads 2]
                                  [--networks NAME ...] [--texts NAME ...] [--set KEY=VALUE ...]
                                  [--work runs/speedrun] [--output FOLDER]

FOLDER holds multi30k/ and tatoeba/. `--set` changes the last of the recipes, which is then recorded under
these changes: an idea that loses is listed beside the record.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import torch

from hat import zoo
from hat.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer, ModelConfig
from hat.data import (
    Cleaning,
    Corpora,
    ParallelText,
    TokenStore,
    Vocabulary,
    collate,
    prepare,
    sequential_batches,
)
from hat.hardware import environment
from hat.lines import read_lines
from hat.model import Dropout, SuperTransformer, Transformer
from hat.strict_yaml import parse_yaml
from hat.training import (
    SAMPLINGS,
    SubTrainee,
    SuperTrainee,
    SuperTrainingSettings,
    Trainee,
    TrainingSettings,
    train,
    validation_loss,
)
from reports import parser, save_report, table

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PIECES, SPACE, VALIDATE_EVERY = 4000, "multi30k", 50
NEVER = 10**9
MEASURES = ("update", "seconds", "processor_seconds")
# Stems of the training, validation and test text; files end in .en.gz and .de.gz.
TEXTS = {
    "multi30k": ("train", "val", "test_2016_flickr"),
    "tatoeba": ("en-de.train", "en-de.valid", "en-de.test"),
}
NETWORKS = ("transformer-6+2", "supertransformer")
TARGETS = {
    ("transformer-6+2", "multi30k"): 2.6,
    ("transformer-6+2", "tatoeba"): 2.8,
    ("supertransformer", "multi30k"): 2.6,
    ("supertransformer", "tatoeba"): 2.8,
}
RECORD: dict[str, Any] = {
    "updates": 450,
    "batch_tokens": 2048,  # an update of these networks has a high fixed cost
    "optimizer": "muon",
    "matrix_learning_rate": 0.02,
    "learning_rate": 0.004,
    "schedule": "stable-decay",
    "decay": 0.7,
    "warmup": 40,
    "dropout": 0.0,  # two epochs are too few to overfit
    "label_smoothing": 0.0,
}
# The settings of each network's recipe.
RECIPES: dict[str, dict[str, dict[str, Any]]] = {
    "baseline": {
        "transformer-6+2": {
            "updates": 4000,
            "batch_tokens": 2048,
            "learning_rate": 0.003,
            "warmup": 800,
            "dropout": 0.2,
        },
        "supertransformer": {
            "updates": 3000,
            "batch_tokens": 2048,
            "learning_rate": 0.002,
            "warmup": 400,
            "dropout": 0.1,
        },
    },
    "record": {network: dict(RECORD) for network in NETWORKS},
}


@dataclass(frozen=True)
class Attempt:
    """One training: a network, its text, the recipe's name and settings, and a seed."""

    network: str
    text: str
    recipe: str
    settings: Mapping[str, Any]
    seed: int
    threads: int

    @property
    def target(self) -> float:
        """The validation loss that ends it."""
        return TARGETS[self.network, self.text]

    def __str__(self) -> str:
        return f"{self.network}, {self.text}, {self.recipe}, seed {self.seed}"

    def described(self) -> dict[str, Any]:
        """The attempt as a record has it."""
        return {**vars(self), "settings": dict(self.settings)}


class TargetReachedError(Exception):
    """Ends a training at its target."""


@dataclass
class Clock:
    """A training's time without validations, and its curve; called after each update of `train`."""

    trainee: Trainee
    store: TokenStore
    target: float
    curve: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    processor_seconds: float = 0.0

    def __post_init__(self) -> None:
        rows = sequential_batches(self.store, 2048)
        self.batches = [collate(self.store, batch) for batch in rows]
        self.start()

    def start(self) -> None:
        self.began, self.processor = time.perf_counter(), time.process_time()

    def __call__(self, done: float, total: float, note: str) -> None:
        self.seconds += time.perf_counter() - self.began
        self.processor_seconds += time.process_time() - self.processor
        if done % VALIDATE_EVERY == 0 or done == total:
            loss = self.loss()
            self.curve.append(
                {
                    "update": int(done),
                    "seconds": round(self.seconds, 2),
                    "processor_seconds": round(self.processor_seconds, 2),
                    "loss": round(loss, 4),
                }
            )
            if loss <= self.target:
                raise TargetReachedError
        self.start()

    def loss(self) -> float:
        """The mean likelihood loss of the networks that judge the trainee."""
        self.trainee.module.eval()
        networks = self.trainee.validated().values()
        return statistics.mean(validation_loss(one, self.batches, smoothing=0.0) for one in networks)


def settings_of(attempt: Attempt) -> TrainingSettings:
    """The settings of an attempt, for `train`; validations are the clock's."""
    kind = SuperTrainingSettings if attempt.network == "supertransformer" else TrainingSettings
    changes = {"threads": attempt.threads, "validate_every": NEVER, "checkpoint_every": NEVER, "average": 1}
    return kind.model_validate({**attempt.settings, **changes})


def trainee_of(attempt: Attempt, settings: TrainingSettings, vocabulary: int) -> Trainee:
    """The network with the initial weights of the attempt's seed."""
    torch.manual_seed(attempt.seed)
    dropout = Dropout(settings.dropout, settings.attention_dropout)
    if isinstance(settings, SuperTrainingSettings):
        space = zoo.space(SPACE)
        config = ModelConfig(space.largest(), vocabulary, vocabulary, norm="pre")
        sampling = SAMPLINGS[settings.sampling](space, attempt.seed, settings.draws)
        return SuperTrainee(SuperTransformer(config, dropout), sampling, space.smallest())
    architecture = Architecture(
        128,
        Encoder(128, (EncoderLayer(512, 4),) * 6),
        Decoder(128, (DecoderLayer(512, 4, 4, 1),) * 2),
    )
    return SubTrainee(Transformer(ModelConfig(architecture, vocabulary, vocabulary, norm="pre"), dropout))


def run(attempt: Attempt, stores: tuple[TokenStore, TokenStore]) -> dict[str, Any]:
    """Train until the target or the end of the recipe; the record."""
    settings = settings_of(attempt)
    trainee = trainee_of(attempt, settings, stores[0].vocab[1])
    clock = Clock(trainee, stores[1], attempt.target)
    with tempfile.TemporaryDirectory(prefix="speedrun-") as folder, suppress(TargetReachedError):
        train(trainee, stores, settings=settings, folder=Path(folder), seed=attempt.seed, progress=clock)
    return {**attempt.described(), "curve": clock.curve}


def end(record: Mapping[str, Any]) -> dict[str, Any]:
    """The first point of a record's curve at the target or below, or else its last one; `reached` tells."""
    target = TARGETS[record["network"], record["text"]]
    below = [point for point in record["curve"] if point["loss"] <= target]
    point: dict[str, Any] = below[0] if below else record["curve"][-1]
    return {**point, "reached": bool(below)}


def is_done(attempt: Attempt, record: Mapping[str, Any]) -> bool:
    """True if a record is that of the attempt, and went on for long enough."""
    same = all(record[key] == value for key, value in attempt.described().items())
    return same and (end(record)["reached"] or end(record)["update"] == attempt.settings["updates"])


def stores_of(text: str, data: Path, work: Path) -> tuple[TokenStore, TokenStore]:
    """The prepared training and validation text; prepared once."""
    folder = work / text
    if not (folder / "report.json").exists():
        parts = (
            (ParallelText(data / text / f"{stem}.en.gz", data / text / f"{stem}.de.gz"),)
            for stem in TEXTS[text]
        )
        prepare(
            folder,
            Corpora(*parts),
            vocabulary=Vocabulary(size=PIECES, joint=True),
            cleaning=Cleaning(max_length=100, max_ratio=3.0),
            seed=1,
            source_language="en",
        )
    return TokenStore.open(folder / "train"), TokenStore.open(folder / "valid")


def attempts(options: argparse.Namespace) -> Iterator[Attempt]:
    """The attempts that were asked for, seed by seed, so that each seed is complete as soon as can be."""
    changes = dict(parse_change(change) for change in options.set)
    for seed in options.seeds:
        for network in options.networks:
            for text in options.texts:
                for recipe in options.recipes:
                    settings, name = RECIPES[recipe][network], recipe
                    if changes and recipe == options.recipes[-1]:
                        settings, name = settings | changes, f"{recipe}, {', '.join(options.set)}"
                    yield Attempt(network, text, name, settings, seed, options.threads)


def parse_change(change: str) -> tuple[str, Any]:
    """Key and value of KEY=VALUE, the value as in YAML."""
    key, _, value = change.partition("=")
    return key, parse_yaml(value, change)


def revision() -> str:
    """The commit of this checkout, with a + if files differ from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def recorded(path: Path) -> list[dict[str, Any]]:
    """The records of a file; none if it is not there."""
    return [json.loads(line) for line in read_lines(path)] if path.exists() else []


def summary(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Means over the seeds of each network, text and recipe, and the gain on the baseline of equal seeds."""
    groups: dict[tuple[Any, ...], dict[int, dict[str, Any]]] = {}
    for one in records:
        key = (one["network"], one["text"], one["recipe"], one["threads"])
        groups.setdefault(key, {})[one["seed"]] = end(one)
    rows = []
    for (network, text, recipe, threads), ends in groups.items():
        start = groups.get((network, text, "baseline", threads), {})
        seeds = sorted(start.keys() & ends.keys())
        comparable = seeds and all(one[seed]["reached"] for one in (start, ends) for seed in seeds)
        row = {"network": network, "text": text, "target": TARGETS[network, text], "recipe": recipe}
        row |= {"threads": threads, "seeds": len(ends)}
        row["reached"] = sum(one["reached"] for one in ends.values())
        for key in ("loss", *MEASURES):
            row[key] = statistics.mean(one[key] for one in ends.values())
        for key in MEASURES:
            before, now = (sum(one[seed][key] for seed in seeds) for one in (start, ends))
            row[f"{key}_gain"] = before / now if comparable else None
        rows.append(row)
    return sorted(rows, key=lambda row: (row["network"], row["text"], row["threads"], row["seconds"]))


def markdown(report: Mapping[str, Any]) -> str:
    """The report as Markdown."""
    machine = report["environment"]
    rows = []
    for row in report["rows"]:
        gains = [row[f"{key}_gain"] for key in ("seconds", "processor_seconds")]
        rows.append(
            [
                f"{row['network']}, {row['text']}",
                f"{row['target']:.2f}",
                row["recipe"],
                str(row["threads"]),
                f"{row['reached']} of {row['seeds']}",
                f"{row['loss']:.3f}",
                f"{row['update']:,.0f}",
                f"{row['seconds']:,.0f}",
                f"{row['processor_seconds']:,.0f}",
                *("–" if gain is None else f"{gain:.2f}" for gain in gains),
            ]
        )
    head = ["network, text", "target", "recipe", "threads", "reached", "loss", "updates", "seconds"]
    head += ["processor seconds", "gain", "gain, processor"]
    return (
        f"# Speedrun, {report['date']}\n\n"
        f"Training until a fixed validation loss (nats per token). {machine['cpu']}, "
        f"{machine['cores_allowed']} cores, load {machine['load_average']:.1f} at the end. Means over seeds; "
        "gain: the baseline's time over this, of the same seeds, where all reached the target.\n\n"
        f"{table(head, rows)}\n"
    )


def main() -> None:
    line = parser(__doc__, "speedrun")
    line.add_argument("--data", type=Path, default=DATA)
    line.add_argument("--work", type=Path, default=Path("runs/speedrun"))
    line.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    line.add_argument("--texts", nargs="+", choices=TEXTS, default=list(TEXTS))
    line.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    line.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    line.add_argument("--threads", type=int, default=2)
    line.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE")
    options = line.parse_args()
    for text in [text for text in options.texts if not (options.data / text).is_dir()]:
        print(f"skipped: {options.data / text} is not there; --data names the folder of the texts")
        options.texts.remove(text)
    path = options.output / "records.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    done = recorded(path)
    for attempt in attempts(options):
        if any(is_done(attempt, one) for one in done):
            continue
        record = run(attempt, stores_of(attempt.text, options.data, options.work))
        record = {"date": str(date.today()), "commit": revision(), **record}
        done.append(record)
        with path.open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(json.dumps(record) + "\n")
        found = end(record)
        ended = "reached" if found["reached"] else "not reached"
        print(f"{attempt}: {found['loss']} after {found['update']} updates, {found['seconds']} s: {ended}")
    if done:
        report = {"date": str(date.today()), "environment": environment(), "rows": summary(done)}
        save_report(options.output, report, markdown(report))


if __name__ == "__main__":
    main()
