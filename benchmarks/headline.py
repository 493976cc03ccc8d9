"""The paper's tables, for this machine: found models against a ladder of Transformers and the Evolved
Transformer, in BLEU, latency, size and the cost of search.

For each task (Multi30k English–German and English–French) the run `WORK/TASK` trains the SuperTransformer,
searches under several constraints, trains the found models, then baseline after baseline, and last the model
found under the first constraint again, taught by the best baseline; each is finished before the next is
begun, so the tables can be written whenever there is no more time. Finished work is not repeated.

    python benchmarks/headline.py --data FOLDER [--tasks en-de en-fr] [--setting full|smallest]
                                  [--baselines NAME ...] [--minutes N] [--work runs/headline]
                                  [--output FOLDER]

FOLDER holds {train,val,test_2016_flickr}.{en,de,fr}.gz. `smallest` needs no data: the built-in corpus and
models that train in seconds, to try the script. Training takes a GPU where PyTorch finds one; without,
baselines of width 512, a day of two cores each, are trained only if they are named.
"""

import argparse
import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import date
from math import inf, prod
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import torch

import headline_report
from deployed_quality import bleu
from hat import FinishedModel, Recipe, Run
from hat.architecture import ModelConfig, cost, weight_shapes
from hat.cli import Terminal
from hat.compression import sizes_of
from hat.evaluation import paired_bootstrap
from hat.files import read_json, write_json
from hat.hardware import (
    Device,
    Measurement,
    MeasurementStore,
    Series,
    environment,
    known_devices,
    measure,
    open_bench,
)
from hat.pipeline import is_run
from hat.recipe import Distillation
from hat.runtime import Artefact, runs, usual_books
from hat.training import Stopped
from headline_report import best_baseline
from pictures import headline_picture
from reports import parser, save_report

CONSTRAINTS = ["60%", "40%", "80%"]


def _training(dim: int) -> dict[str, Any]:
    """A baseline has as many updates as a found model, whose SuperTransformer is a cost of the search.
    At width 128 a peak learning rate of 0.003 learned faster than 0.002 and 0.001; wider ones get less."""
    return {
        "updates": 4500,
        "warmup": 800,
        "learning_rate": 0.384 / dim,
        "dropout": 0.1 if dim < 256 else 0.2,
    }


LADDER = [
    {"name": f"transformer-{enc}+{dec}-{dim}", "encoder_layers": enc, "decoder_layers": dec}
    | {"embed_dim": dim, "ffn_dim": 4 * dim, "heads": dim // 32, "training": _training(dim)}
    for enc, dec, dim in ((6, 1, 128), (6, 2, 128), (6, 1, 256), (6, 2, 256), (6, 6, 256), (6, 6, 512))
]
# One as wide as the narrow Transformers, and the published one.
EVOLVED = [
    {"name": f"evolved-transformer-{dim}", "kind": "evolved", "embed_dim": dim, "heads": heads}
    | {"training": _training(dim)}
    for dim, heads in ((128, 4), (512, 8))
]


class Column(NamedTuple):
    """Latencies: where, in which engine and precision, in at most how many rounds."""

    device: str
    engine: str
    precision: str
    rounds: int

    def __str__(self) -> str:
        return f"{self.engine} {self.precision if self.device == 'local' else self.device}"


INTERVAL = 0.01  # of a latency in either direction, unless the rounds end first
DEPLOYED = Column("local", "native", "int8", 60)
COLUMNS = (
    DEPLOYED,
    Column("local", "native", "kmeans4", 60),
    Column("local", "torch", "float32", 10),
    Column("local", "onnxruntime", "int8", 20),
    Column("cuda:0", "torch", "float32", 20),  # where there is a GPU, which computes in half precision
)
# Most of what 4 bits lose is lost in the embeddings, and fine-tuning wins nothing back (docs/compression.md).
FOUR_BITS = "kmeans4"
CODE_BOOKS = replace(usual_books(FOUR_BITS), embeddings="int8")
TAUGHT = "taught.json"
TINY_TRAINING = {"updates": 30, "warmup": 5, "batch_tokens": 600, "validate_every": 15}


def run_of(task: str, options: argparse.Namespace, baselines: Sequence[dict[str, Any]]) -> Run:
    """The run of one task with some of the baselines."""
    setting, target = options.setting, task.partition("-")[2]
    changes: dict[str, Any] = {"name": task, "baselines": list(baselines)}
    if setting == "smallest":
        changes |= {f"{part}_training": TINY_TRAINING for part in ("super", "sub", "baseline")}
        changes |= {
            "data.builtin": {"train": 2000, "valid": 40, "test": 40},
            "search.population": 6,
            "search.parents": 3,
            "search.mutations": 2,
            "search.crossovers": 2,
            "search.iterations": 2,
            "search.validation_sentences": 20,
            "search.constraints": CONSTRAINTS[:1],
            "measure.samples": 8,
            "evaluate.tune_length_penalty": True,
        }
        name = "demo"
    else:
        name = "multi30k"
        changes |= {"data.root": str(options.data), "data.target_language": target}
        changes["search.constraints"] = CONSTRAINTS
        for part, stem in (("train", "train"), ("valid", "val"), ("test", "test_2016_flickr")):
            changes[f"data.{part}.target"] = f"{stem}.{target}.gz"
    return Run(name, options.work / task, settings=changes)


def baselines_of(setting: str) -> list[dict[str, Any]]:
    if setting == "smallest":
        small = {"encoder_layers": 2, "decoder_layers": 1, "embed_dim": 64, "ffn_dim": 128, "heads": 2}
        return [
            {"name": "transformer-2+1-64", **small},
            {"name": "evolved-transformer-32", "kind": "evolved", "embed_dim": 32, "heads": 2},
        ]
    return [*LADDER[:2], EVOLVED[0], *LADDER[2:], EVOLVED[1]]


def train_all(task: str, options: argparse.Namespace, terminal: Terminal) -> None:
    """Everything of a task that is trained, a whole report after each baseline."""
    there = trained(task, options)
    run_of(task, options, there).work(reporter=terminal)
    for one in wanted(options):
        if one not in there:
            there.append(one)
            run_of(task, options, there).work(reporter=terminal)
    run = run_of(task, options, there)
    if best := best_baseline(read_json(run.folder / "report.json")["models"]):
        teach(run, best["name"], terminal)


def teach(run: Run, teacher: str, terminal: Terminal) -> None:
    """Train the first found model again, taught by a baseline; its row of a report to TAUGHT."""
    try:
        Run(taught(run.recipe, teacher), run.folder).work(reporter=terminal)
        students = [row for row in read_json(run.folder / "report.json")["models"] if row["kind"] == "found"]
        rows = [row | {"teacher": teacher} for row in students]
        write_json(run.folder / TAUGHT, {"teacher": teacher, "models": rows})
    finally:  # everything of it is done: only the report is written again
        run.work(reporter=terminal)


def taught(recipe: Recipe, teacher: str) -> Recipe:
    """The recipe with one constraint, and a baseline that teaches: its translations beside the references.
    For twice the text there are half as many updates again."""
    training, constraints = recipe.sub_training, recipe.search.constraints
    return recipe.model_copy(
        update={
            "search": recipe.search.model_copy(update={"constraints": constraints[:1]}),
            "sub_training": training.model_copy(update={"updates": training.updates * 3 // 2}),
            "distillation": Distillation(teacher=teacher, kind="sequences", references=True),
        }
    )


def trained(task: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The baselines that are trained already."""
    if not is_run(options.work / task):
        return []
    baselines = baselines_of(options.setting)
    steps = run_of(task, options, baselines).status().steps
    done = {step.step for step in steps if step.state == "done"}
    return [one for one in baselines if f"train/{one['name']}" in done]


def wanted(options: argparse.Namespace) -> list[dict[str, Any]]:
    """The baselines to train: those that are named, else all that this machine can in hours."""
    chosen, widest = options.baselines, inf if torch.cuda.is_available() else 256
    return [
        one
        for one in baselines_of(options.setting)
        if (one["name"] in chosen if chosen else one["embed_dim"] <= widest)
    ]


class Entry(NamedTuple):
    """A trained model: its row of the run's report, and its files."""

    row: dict[str, Any]
    model: FinishedModel


class Task:
    """A task's run, as far as it has got, and the baselines that are still to be trained."""

    def __init__(self, trained: Run, wanted: Run, terminal: Terminal) -> None:
        """`trained`: the run with the baselines that are; `wanted`: with all of them."""
        self.run, self.root, self.terminal = trained, trained.folder, terminal
        self.entries = dict(entries(trained, read_json(self.root / "report.json")))
        if (self.root / TAUGHT).exists():
            record = read_json(self.root / TAUGHT)
            students = Run(taught(trained.recipe, record["teacher"]), self.root)
            self.entries |= {f"{name}-taught": one for name, one in entries(students, record)}
        self.untrained = {
            one.name: trained.model_config(one.architecture(), elastic=False)
            for one in wanted.recipe.baselines
            if one.name not in self.entries
        }

    def configs(self) -> dict[str, ModelConfig]:
        """Every model's, trained or not: a latency needs no training."""
        return {name: one.model.config for name, one in self.entries.items()} | self.untrained

    def rows(self) -> list[dict[str, Any]]:
        """One row a model: what the report has, latencies in each engine, BLEU against the best baseline."""
        rows = {name: one.row | {"name": name} for name, one in self.entries.items()}
        rows |= {name: untrained_row(name, config) for name, config in self.untrained.items()}
        for name, config in self.configs().items():
            rows[name]["flops"] = cost(config.architecture).flops
        for column, times in self.latencies().items():
            for name, taken in times.items():
                rows[name].setdefault("latencies_ms", {})[column] = taken.latency_ms
                rows[name].setdefault("intervals_ms", {})[column] = [taken.low_ms, taken.high_ms]
        best = best_baseline(rows.values())
        for name, entry in self.entries.items():
            row = rows[name]
            files = (path for path in entry.model.trained.rglob("*") if path.is_file())
            row["float32_bytes"] = sum(path.stat().st_size for path in files)
            row["training_device_seconds"] = entry.model.cost.device_seconds
            if best:
                row["against_best"] = asdict(self.compare(name, best["name"]))
            if row["kind"] == "found":
                row["four_bits"] = self.four_bits(name, entry)
        return list(rows.values())

    def compare(self, name: str, rival: str) -> Any:
        one, other = (self.entries[one].model.translations for one in (name, rival))
        return paired_bootstrap(one, other, self.run.test_text()[1])

    def latencies(self) -> dict[str, dict[str, Measurement]]:
        """Column → model → latency; all models of a column are timed in the same rounds."""
        devices = known_devices()
        store = MeasurementStore(self.root.parent / "measurements.sqlite")
        found = {
            str(column): self.column(column, devices[column.device], store)
            for column in COLUMNS
            if column.device in devices
        }
        store.close()
        return found

    def column(self, column: Column, device: Device, store: MeasurementStore) -> dict[str, Measurement]:
        """Model → latency, for the models that the column's engine runs."""
        protocol = replace(
            self.run.protocol(column.rounds, INTERVAL, column.engine),
            precision=column.precision,
            accelerator=device.accelerator,
        )
        runnable = {
            name: config
            for name, config in self.configs().items()
            if runs(column.engine, config.architecture)
        }
        reference = self.run.model_config(self.run.space.largest())
        series = Series(store, f"{self.root.name}/{column}", device.name, protocol, reference)
        with open_bench(device) as bench, self.terminal.working(f"{self.root.name}: {column}") as progress:
            times = measure([*runnable.values()], series, bench, seed=1, progress=progress)
        return dict(zip(runnable, times, strict=True))

    def four_bits(self, name: str, entry: Entry) -> dict[str, Any]:
        """The model at 4 bits, decoding as the deployed one: BLEU, the float32 model's, and both sizes."""
        decode = Artefact.load(entry.model.deployed).config.decode
        whole = Artefact.load(entry.model.trained).with_decode(decode)
        scores, text = [], self.run.test_text()
        with (
            tempfile.TemporaryDirectory() as scratch,
            self.terminal.working(f"{self.root.name}: {name} at 4 bits") as progress,
        ):
            for done, artefact in enumerate((whole, whole.at_precision(FOUR_BITS, CODE_BOOKS))):
                progress(done, 2, f"test text at {artefact.config.precision}")
                scores.append(bleu(artefact, "native", text, Path(scratch) / "model"))
            sizes = sizes_of(Path(scratch) / "model", self.configs()[name], FOUR_BITS)
        float32, small = scores
        return {"bleu": small, "float32_bleu": float32, "bytes": sizes.total, "published": sizes.published}

    def search_cost(self) -> dict[str, float]:
        """Device hours of finding: SuperTransformer, measuring, fitting, all searches."""
        return {
            step.step: step.cost.device_seconds / 3600
            for step in self.run.status().steps
            if step.state == "done" and step.step.startswith(("train-super", "measure", "fit", "search/"))
        }


def untrained_row(name: str, config: ModelConfig) -> dict[str, Any]:
    """The figures that a baseline's architecture alone decides."""
    whole = sum(map(prod, weight_shapes(config).values()))
    return {
        "name": name,
        "kind": "untrained",
        "parameters": cost(config.architecture).parameters,
        "parameters_with_embeddings": whole,
        "float32_bytes": 4 * whole,
    }


def entries(run: Run, report: Mapping[str, Any]) -> Iterator[tuple[str, Entry]]:
    """Name → trained model, of those in the report, unless that is of an older run."""
    rows = {row["name"]: row for row in report["models"]}
    for name, model in run.models().items():
        if name in rows:
            yield name, Entry(rows[name], model)


class TimeIsUp(KeyboardInterrupt):
    """The minutes are over. A class of its own: where a KeyboardInterrupt itself leaves an `exec`, as in the
    import of a dataclass, Python ends by SIGINT, though it was caught."""


@contextmanager
def at_most(minutes: float | None, terminal: Terminal) -> Iterator[None]:
    """Interrupt the work inside after so long; everything that is finished stays."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeIsUp

    before = signal.signal(signal.SIGALRM, stop)
    if minutes:
        signal.alarm(round(60 * minutes))
    try:
        yield
    except (KeyboardInterrupt, Stopped):
        terminal.say("stopped; the same command goes on from here. The tables are of what is finished.")
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def report_of(options: argparse.Namespace, terminal: Terminal) -> dict[str, Any]:
    """The figures of all tasks that have been begun."""
    baselines = baselines_of(options.setting)
    tasks = {}
    for name in options.tasks:
        if (options.work / name / "report.json").exists():
            there = run_of(name, options, trained(name, options))
            task = Task(there, run_of(name, options, baselines), terminal)
            tasks[name] = {
                "models": task.rows(),
                "protocol": task.run.protocol(DEPLOYED.rounds, INTERVAL, DEPLOYED.engine).to_dict(),
                "search_hours": task.search_cost(),
            }
    return {
        "date": str(date.today()),
        "setting": options.setting,
        "environment": environment(),
        "wanted": {"tasks": options.tasks, "baselines": [one["name"] for one in baselines]},
        "tasks": tasks,
    }


def main() -> None:
    line = parser(__doc__, "headline")
    line.add_argument("--data", type=Path)
    line.add_argument("--tasks", nargs="+", default=["en-de", "en-fr"], choices=["en-de", "en-fr"])
    line.add_argument("--setting", default="full", choices=["full", "smallest"])
    line.add_argument("--baselines", nargs="+", metavar="NAME", help="train these only")
    line.add_argument("--minutes", type=float, help="stop training after so long, and write the tables")
    line.add_argument("--work", type=Path, default=Path("runs/headline"))
    options = line.parse_args()
    if options.setting == "full" and options.data is None:
        line.error("--data FOLDER: where is Multi30k? Or try --setting smallest")
    names = [one["name"] for one in baselines_of(options.setting)]
    if unknown := set(options.baselines or names) - set(names):
        line.error(f"no baseline is called {', '.join(sorted(unknown))}; the choices are {', '.join(names)}")
    terminal = Terminal()
    with at_most(options.minutes, terminal):
        for task in options.tasks:
            train_all(task, options, terminal)
    report = report_of(options, terminal)
    save_report(options.output, report, headline_report.markdown(report))
    for name in report["tasks"]:
        headline_picture(report, name, options.output / f"{name}.svg")


if __name__ == "__main__":
    main()
