"""HAT's engines against CTranslate2 (and PyTorch): latency and throughput on models of random weights.

Every section's contenders run in turn in this one process, each round on a new random source. Sections are
saved one by one in benchmarks/results/engines-DATE/{report.md,report.json}; earlier ones there stay unless
they are measured again.

    python benchmarks/engines.py [--only vanilla hat batch-beam1 batch-beam5 heterogeneous]
                                 [--runs 15] [--output FOLDER]
"""

import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import ctranslate2
import torch

import ctranslate2_peer as peer
from architectures import HAT, HEADS, HETEROGENEOUS, VANILLA
from engine_report import markdown, save
from hat.architecture import Architecture, ModelConfig, weight_shapes
from hat.cli import Terminal
from hat.errors import UserError
from hat.files import read_json
from hat.hardware import Decoding, MeasureProtocol, environment, forced, time_in_turn
from hat.model import StaticDecoder, TorchEngine, Workspace
from hat.runtime import Artefact, Engine, EngineSettings, load_engine
from reports import parser

VOCABULARY, LENGTH, BEAM = 32768, 30, 5
BATCH = 64
READ_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Contender:
    """An engine that is timed. `workers`: CTranslate2's inter_threads; 0 decodes one batch at a time."""

    engine: str
    precision: str
    threads: int
    workers: int = 0

    def __str__(self) -> str:
        threads = f"{self.workers} × {self.threads}" if self.workers else f"×{self.threads}"
        return f"{self.engine} {self.precision} {threads}"


@dataclass(frozen=True)
class Section:
    """One model under one protocol, and the engines that are timed on it."""

    model: str
    architecture: Architecture
    contenders: tuple[Contender, ...]
    beam: int = BEAM
    sentences: int = 1


ALONE = (
    *(Contender("native", precision, threads) for precision in ("int8", "float32") for threads in (1, 2)),
    Contender("onnxruntime", "int8", 1),
    Contender("torch", "float32", 1),
    Contender("torch.compile", "float32", 1),
    *(Contender("ctranslate2", *variant) for variant in (("int8", 1), ("int8", 2), ("float32", 1))),
)
# Two batches, so that both of CTranslate2's workers have one.
TOGETHER = (Contender("native", "int8", 2), Contender("ctranslate2", "int8", 1, workers=2))
SECTIONS = {
    "vanilla": Section("6 + 6 layers, 512/2048, 8 heads", VANILLA, ALONE),
    "hat": Section("6 + 1 layers, 512, FFN 2048 and 3072, 8 heads", HAT, ALONE),
    "batch-beam1": Section(f"hat, batches of {BATCH}", HAT, TOGETHER, beam=1, sentences=2 * BATCH),
    "batch-beam5": Section(f"hat, batches of {BATCH}", HAT, TOGETHER, sentences=2 * BATCH),
    "heterogeneous": Section(
        "encoder 640, decoder 512, mixed heads, attention to 3 and 2 layers; CTranslate2 runs it cut down "
        "to attention to the last layer and 8 heads everywhere",
        HETEROGENEOUS,
        (
            Contender("native", "int8", 1),
            Contender("onnxruntime", "int8", 1),
            Contender("torch", "float32", 1),
            Contender("ctranslate2", "int8", 1),
        ),
    ),
}


def measure(section: Section, runs: int, gb_per_s: float, show: Terminal) -> tuple[dict[str, Any], str]:
    """A section of the report, and the native engine's instruction set ("absent" without it)."""
    rounds = {"warmup": 2, "rounds": runs}
    protocol = MeasureProtocol((LENGTH,), (LENGTH,), beam=section.beam, batch=section.sentences, **rounds)
    model = ModelConfig(section.architecture, VOCABULARY, VOCABULARY)
    ready: dict[str, Decoding] = {}
    absent: dict[str, str] = {}
    instruction_set = "absent"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for contender in section.contenders:
            try:
                if contender.engine == "ctranslate2":
                    ready[str(contender)] = _peer_run(contender, model, folder / "peer", protocol)
                    continue
                engine = stack.enter_context(_opened(contender, model))
                instruction_set = getattr(engine, "instruction_set", instruction_set)
                ready[str(contender)] = _in_batches(forced(engine, protocol))
            except UserError as error:
                absent[str(contender)] = str(error)
        with show.working("rounds") as progress:
            times = time_in_turn(ready, protocol, VOCABULARY, progress)
    floor = {
        name: size * _weights_read(model, LENGTH) / gb_per_s / 1e6
        for name, size in (("int8", 1), ("float32", 4))
    }
    return {
        "model": section.model,
        "architecture": section.architecture.to_dict(),
        "protocol": protocol.to_dict(),
        "times_ms": times,
        "absent": absent,
        "floor_ms": floor,
    }, instruction_set


@contextmanager
def _opened(contender: Contender, model: ModelConfig) -> Iterator[Engine]:
    artefact = Artefact.random(model, 0, contender.precision)
    settings = EngineSettings(contender.threads)
    if contender.engine == "torch.compile":
        engine: Engine = _compiled(artefact, settings)
    else:
        engine = load_engine(contender.engine, artefact, settings)
    try:
        yield engine
    finally:
        engine.close()


def _compiled(artefact: Artefact, settings: EngineSettings) -> TorchEngine:
    """The torch engine with its encoder layers and its decoding step compiled.

    Only the static cache has few enough shapes to compile. Raises UserError where compiling fails.
    """
    engine = TorchEngine(artefact, settings)
    engine.decoder = StaticDecoder(engine.model, capture=False)
    for block in engine.model.encoder:
        block.compile()
    _compile_steps()
    started = time.perf_counter()
    protocol = MeasureProtocol((LENGTH,), (LENGTH,), beam=BEAM)
    try:
        forced(engine, protocol)([[*range(4, 3 + LENGTH), 2]])
    except Exception as error:  # whatever the compiler of this machine may raise
        raise UserError(f"{type(error).__name__}: {str(error).splitlines()[0]}") from error
    print(f"torch.compile: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return engine


@cache
def _compile_steps() -> None:
    """For the whole process: no other contender decodes with a static cache."""
    Workspace.step = torch.compile(Workspace.step, dynamic=False)


def _in_batches(run: Decoding) -> Decoding:
    def batches(sources: list[list[int]]) -> None:
        for start in range(0, len(sources), BATCH):
            run(sources[start : start + BATCH])

    return batches


def _peer_run(
    contender: Contender, model: ModelConfig, folder: Path, protocol: MeasureProtocol
) -> Callable[[list[list[int]]], None]:
    if not folder.exists():
        cut = ModelConfig(peer.expressible(model.architecture, HEADS), VOCABULARY, VOCABULARY)
        peer.convert(Artefact.random(cut, 0), folder)
    translator = ctranslate2.Translator(
        str(folder),
        compute_type=contender.precision,
        inter_threads=max(1, contender.workers),
        intra_threads=contender.threads,
    )
    return peer.forced(translator, protocol, sources_at_once=BATCH)


def _weights_read(model: ModelConfig, steps: int) -> int:
    """Weights that a decode has to read: the encoder's and cross-attention's keys' and values' once,
    the other decoder weights and the output projection at every step."""
    total = steps * model.target_vocab * model.architecture.decoder.embed_dim
    for name, shape in weight_shapes(model).items():
        every_step = name.startswith("decoder") and ".kv." not in name
        if "embedding" not in name:
            total += prod(shape) * (steps if every_step else 1)
    return total


def _read_gb_per_s() -> float:
    """One thread's speed of reading memory: the best of ten sums over more than the caches hold."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    values = torch.ones(READ_BYTES // 4)
    taken = []
    for _ in range(10):
        started = time.perf_counter()
        values.sum()
        taken.append(time.perf_counter() - started)
    torch.set_num_threads(threads)
    return READ_BYTES / min(taken) / 1e9


def main() -> None:
    line = parser(__doc__, "engines")
    line.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    line.add_argument("--runs", type=int, default=15)
    options = line.parse_args()
    report: dict[str, Any] = {"sections": {}, "instruction_set": "absent"}
    if (options.output / "report.json").is_file():
        report = read_json(options.output / "report.json")
    report |= {
        "date": str(date.today()),
        "environment": environment(),
        "ctranslate2": ctranslate2.__version__,
        "read_gb_per_s": _read_gb_per_s(),
    }
    show = Terminal()
    for name in options.only:
        show.say(f"{name}: {SECTIONS[name].model}")
        section, report["instruction_set"] = measure(
            SECTIONS[name], options.runs, report["read_gb_per_s"], show
        )
        report["sections"][name] = section | {"load_average": os.getloadavg()[0]}
        save(report, options.output)
        gc.collect()
    print(markdown(report))


if __name__ == "__main__":
    main()
