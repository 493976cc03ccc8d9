"""Parts of `gpu_check.py`, each a process of its own that prints JSON objects, one a line, as it finds them.

    python benchmarks/gpu_parts.py [--rehearsal] device-check | training | engines | latency-loop
    python benchmarks/gpu_parts.py [--rehearsal] run --data FOLDER

--rehearsal: tiny sizes, on the processor in place of the GPU.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from architectures import HAT, VANILLA
from hat import Run, zoo
from hat.architecture import Architecture, ModelConfig
from hat.cli import Terminal
from hat.errors import UserError
from hat.files import read_json
from hat.hardware import (
    MeasureProtocol,
    calibrate,
    calibration_protocol,
    device_named,
    forced,
    open_bench,
    time_in_turn,
)
from hat.lines import read_lines
from hat.model import StaticDecoder, TorchEngine
from hat.pipeline import STAGES
from hat.runtime import Artefact, Engine, EngineSettings, load_engine
from latency_loop import Loop, constraint, first, second
from training import Contender, Worker, operations_per_token

GPU = "cuda:0"
VOCABULARIES = {"wmt-space0": 32768, "multi30k": 4000, "demo": 2400}


@dataclass(frozen=True)
class Sizes:
    """The sizes of the whole check, or of its rehearsal. `trainings`: network, kind, token budget;
    `updates`: warm-up and timed ones of each. `vocabulary`, `batches`, `rounds`: of the engines. `models`,
    `timings`, `constraints`: of the latency loop. `recipe`: changes to that of multi30k."""

    device: str
    trainings: tuple[tuple[str, str, int], ...]
    updates: tuple[int, int]
    vocabulary: int
    batches: tuple[tuple[int, int], ...]
    rounds: int
    models: int
    timings: int
    constraints: int
    super_seconds: float
    sub_seconds: float
    recipe: dict[str, Any]


WHOLE = Sizes(
    device=GPU,
    trainings=(
        ("wmt-space0", "largest", 16384),
        ("wmt-space0", "plain", 16384),
        ("wmt-space0", "sampled", 16384),
        ("wmt-space0", "largest", 4096),
        ("wmt-space0", "sampled", 4096),
        ("multi30k", "sampled", 2048),
    ),
    updates=(8, 24),
    vocabulary=32768,
    batches=((1, 5), (1, 1), (64, 5)),
    rounds=10,
    models=8,
    timings=16,
    constraints=1,
    super_seconds=40,
    sub_seconds=15,
    recipe={
        "measure": {"samples": 8, "rounds": 16, "verify_rounds": 16},
        "search.constraints": ["80%"],
        "search.population": 20,
        "search.parents": 6,
        "search.mutations": 8,
        "search.crossovers": 6,
        "search.iterations": 4,
        "search.remeasure": 3,
        "evaluate": {"beam": 5, "batch": 128},
    },
)
REHEARSAL = Sizes(
    device="local",
    trainings=(("demo", "sampled", 300), ("demo", "plain", 300)),
    updates=(1, 2),
    vocabulary=100,
    batches=((2, 2),),
    rounds=1,
    models=8,
    timings=2,
    constraints=1,
    super_seconds=0,
    sub_seconds=0,
    recipe={
        "space": "demo",
        "data.vocabulary.size": 200,
        "measure": {"samples": 8, "rounds": 2, "verify_rounds": 2},
        "search": {
            "constraints": ["80%"],
            "population": 6,
            "parents": 3,
            "mutations": 2,
            "crossovers": 2,
            "iterations": 1,
            "validation_sentences": 10,
            "remeasure": 2,
        },
        "evaluate": {"beam": 1},
        "device.beam": 1,
    },
)


def say(**row: Any) -> None:
    """Print a result."""
    print(json.dumps(row), flush=True)


def device_check(sizes: Sizes, options: argparse.Namespace) -> None:
    """`hat device check`: the machine, and how steady it is."""
    device = device_named(sizes.device)
    with open_bench(device) as bench:
        say(device=device.to_dict(), environment=bench.environment())
        say(calibration=asdict(calibrate(bench, calibration_protocol(device))))


def training(sizes: Sizes, options: argparse.Namespace) -> None:
    """Target tokens/s of every training, its share of the peak, and the split of an update."""
    with ExitStack() as stack:
        workers = []
        for case, kind, tokens in sizes.trainings:  # at once: starting takes many times as long as an update
            plain = kind == "plain"
            worker = Worker(Contender(kind, plain=plain), case, kind, 1, batch_tokens=tokens)
            stack.callback(worker.close)
            workers.append(worker)
        for (case, kind, tokens), worker in zip(sizes.trainings, workers, strict=True):
            say(network=case, kind=kind, batch_tokens=tokens, **_trained(worker, case, kind, sizes.updates))


def _trained(worker: Worker, case: str, kind: str, updates: tuple[int, int]) -> dict[str, Any]:
    warm, timed = updates
    began = time.perf_counter()
    worker.ask(str(warm))
    start = time.perf_counter() - began
    answer = worker.ask(str(timed))
    rates = [update["tokens"] / update["seconds"] for update in answer["updates"]]
    took = statistics.median(update["seconds"] for update in answer["updates"])
    peaks = worker.ask("peaks")
    split = worker.ask("split")["split"]
    known = "largest" if kind == "plain" else kind
    work = operations_per_token(case, known, VOCABULARIES[case])
    return {
        "tokens_per_second": round(statistics.median(rates)),
        "share_of_bf16_peak": round(statistics.median(rates) * work / peaks["bfloat16"], 4),
        "ms_per_update": round(1000 * took, 2),
        # On a GPU its own time: the rest of an update it has waited for the processor.
        "profiled_ms": round(1000 * sum(sum(kinds.values()) for kinds in split.values()), 2),
        "memory_bytes": answer["memory"],
        "start_seconds": round(start, 1),
        "peaks": peaks,
        "split_ms": {
            phase: {kind: round(1000 * taken, 2) for kind, taken in kinds.items()}
            for phase, kinds in split.items()
        },
    }


def engines(sizes: Sizes, options: argparse.Namespace) -> None:
    """Milliseconds of the engines in turn, on random weights: on the GPU with and without recorded steps, and
    on the processor."""
    gpu = "cpu" if sizes is REHEARSAL else "cuda"
    source = 30
    networks: dict[str, Architecture] = {"6+6, 512/2048": VANILLA, "6+1, 512/2048-3072": HAT}
    if sizes is REHEARSAL:
        networks = {"demo": zoo.space("demo").smallest()}
    for name, architecture in networks.items():
        model = ModelConfig(architecture, sizes.vocabulary, sizes.vocabulary)
        weights = {kind: Artefact.random(model, 0, kind) for kind in ("float32", "int8")}
        for batch, beam in sizes.batches:
            protocol = MeasureProtocol(
                (source,), (source,), beam=beam, batch=batch, warmup=2, rounds=sizes.rounds
            )
            row: dict[str, Any] = {"model": name, "batch": batch, "beam": beam, "steps": source}
            with _opened(weights, gpu) as (opened, absent):
                runs = {label: forced(engine, protocol) for label, engine in opened.items()}
                times = time_in_turn(runs, protocol, sizes.vocabulary)
            medians = {label: round(statistics.median(taken), 3) for label, taken in times.items()}
            rates = {label: round(1000 * batch * source / taken) for label, taken in medians.items()}
            say(**row, median_ms=medians, tokens_per_second=rates, times_ms=times, absent=absent)


@contextmanager
def _opened(weights: dict[str, Artefact], gpu: str) -> Iterator[tuple[dict[str, Engine], dict[str, str]]]:
    """The engines by label, and those that are absent here, with the reasons."""
    opened: dict[str, Engine] = {}
    absent: dict[str, str] = {}

    def one_by_one() -> Engine:
        engine = TorchEngine(weights["float32"], EngineSettings(1, gpu))
        engine.decoder = engine.model
        return engine

    def static() -> Engine:
        engine = TorchEngine(weights["float32"], EngineSettings(1, gpu))
        engine.decoder = StaticDecoder(engine.model, capture=False)  # type: ignore[arg-type]
        return engine

    makers: dict[str, Callable[[], Engine]] = {
        f"torch {gpu}": lambda: load_engine("torch", weights["float32"], EngineSettings(1, gpu)),
        f"torch {gpu}, one operation at a time": one_by_one,
        f"torch {gpu}, static cache, nothing recorded": static,
        "native int8": lambda: load_engine("native", weights["int8"], EngineSettings(1)),
        "onnxruntime int8": lambda: load_engine("onnxruntime", weights["int8"], EngineSettings(1)),
    }
    with ExitStack() as stack:
        for label, make in makers.items():
            try:
                opened[label] = make()
            except UserError as error:
                absent[label] = str(error)
            else:
                stack.callback(opened[label].close)
        yield opened, absent


def latency_loop(sizes: Sizes, options: argparse.Namespace) -> None:
    """`latency_loop.py` with few models, and the second measuring at once."""
    device = device_named(sizes.device)
    with tempfile.TemporaryDirectory() as folder, open_bench(device) as bench:
        loop = Loop(Path(folder), bench, Terminal(), device=device, most=sizes.models, rounds=sizes.timings)
        say(first=loop.step("first", lambda progress: first(loop, progress)))
        for number in range(sizes.constraints):
            name = f"constraint-{number}"
            say(constraint=loop.step(name, lambda progress, n=number: constraint(loop, n, progress)))
        say(second=loop.step("second", lambda progress: second(loop, progress)))


def run(sizes: Sizes, options: argparse.Namespace) -> None:
    """The recipe multi30k with small settings on the device: a SuperTransformer, a found model, and what they
    score. The first row says why where there is no text."""
    names = ("train.en.gz", "train.de.gz", "val.en.gz", "val.de.gz")
    if missing := [name for name in names if not (options.data / name).is_file()]:
        say(skipped=f"{options.data} has no {', '.join(missing)}")
        return
    changes = recipe_changes(sizes, options.data, options.update_seconds)
    folder = Path(tempfile.mkdtemp(prefix="gpu-check-"))
    work = Run("multi30k", folder / "run", settings=changes)
    say(settings=changes)
    for stage in STAGES:
        began = time.perf_counter()
        work.work([stage], reporter=Terminal())
        say(stage=stage, seconds=round(time.perf_counter() - began, 1), **_results(work, stage))


def recipe_changes(sizes: Sizes, data: Path, update_seconds: float) -> dict[str, Any]:
    """The changes to the recipe multi30k. `update_seconds`: of one update of its SuperTransformer."""
    changes: dict[str, Any] = {
        "data.root": str(data),
        "device": {"name": sizes.device, "beam": 5},
        "baselines": [],
        **sizes.recipe,
    }
    for section, seconds, most in (
        ("super_training", sizes.super_seconds, 3000),
        ("sub_training", sizes.sub_seconds, 1500),
    ):
        # The second training's networks are smaller; their updates are taken to last as long.
        updates = min(most, max(100, round(seconds / update_seconds))) if seconds else 6
        part = {"updates": updates, "checkpoint_every": updates}
        part |= {"validate_every": max(1, updates // 4), "warmup": max(1, updates // 10)}
        changes |= {f"{section}.{key}": value for key, value in part.items()}
    return changes


def _results(work: Run, stage: str) -> dict[str, Any]:
    """The results of a finished stage."""
    if stage in ("train-super", "train"):
        logs = sorted(work.folder.glob(f"steps/{stage}/**/log.jsonl"))
        return {"trainings": [_curve(path) for path in logs]}
    if stage == "measure":
        measured = work.measurements()
        return {
            "models": len(measured),
            "latencies_ms": [round(one.latency_ms, 3) for one in measured],
            "summary": work.measure_summary(),
        }
    if stage == "fit":
        return {"predictor": work.fit_summary()}
    if stage == "search":
        return {"verdicts": work.constraints()}
    if stage == "evaluate":
        rows = read_json(work.folder / "report.json")["models"]
        kept = ("name", "latency_ms", "latency_low_ms", "latency_high_ms", "bleu", "chrf", "parameters")
        return {"models": [{key: row.get(key) for key in kept} for row in rows]}
    return {}


def _curve(log: Path) -> dict[str, Any]:
    """A training's speed and losses."""
    lines = [json.loads(line) for line in read_lines(log)]
    trained, judged = ([line for line in lines if line["kind"] == kind] for kind in ("train", "valid"))
    return {
        "step": str(log.parent.parent.name),
        "updates": len(trained),
        "tokens_per_second": statistics.median(line["tokens_per_second"] for line in trained),
        "losses": {line["update"]: round(line["loss"], 4) for line in judged},
    }


PARTS = {
    "device-check": device_check,
    "training": training,
    "engines": engines,
    "latency-loop": latency_loop,
    "run": run,
}


def main() -> None:
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("part", choices=PARTS)
    line.add_argument("--data", type=Path, default=Path())
    line.add_argument("--update-seconds", type=float, default=0.03, help="of multi30k's SuperTransformer")
    line.add_argument("--rehearsal", action="store_true")
    options = line.parse_args()
    PARTS[options.part](REHEARSAL if options.rehearsal else WHOLE, options)


if __name__ == "__main__":
    sys.exit(main())
