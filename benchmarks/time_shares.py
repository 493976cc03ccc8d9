"""Shares of a model's parts in a sentence's time, in the bytes that a step reads, and in the artefact.

    python benchmarks/time_shares.py [--rounds 40] [--output FILE]

Three models of random weights, int8, in the native engine on one thread. A second build of the engine, in
build/profile, charges the processor time of every stretch of its work to a part (native/engine/profile.h).
The usual build decodes the same sentences in turn with it: the results tell how much the sum of the parts
differs from its processor time, and more than 10 % is an error.
"""

import importlib.util
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from math import prod
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from architectures import HAT
from hat.architecture import Architecture, Decoder, DecoderLayer, ModelConfig
from hat.errors import HatError
from hat.hardware import Decoding, MeasureProtocol, forced, random_sources
from hat.runtime import Artefact, EngineSettings, load_engine
from hat.zoo import space
from reports import parser, save_record, table

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "profile"
LENGTH = 15  # source and target tokens
SENTENCES = 10  # of a round
WARMUP = 2
MOST_DIFFERENCE = 0.1
PARTS = (
    *("encoder", "self-attention", "cross-attention", "feed-forward"),
    *("projection", "embedding", "beam"),
)
# Part → beginnings of its weights' names. A matrix that source, target and output share counts as projection.
WEIGHTS = {
    "embedding": ("source_embedding", "target_embedding", "source_factor", "target_factor"),
    "projection": ("embedding", "output_embedding", "output_factor", "decoder_norm"),
    "encoder": ("encoder",),
    "self-attention": ("self_attention",),
    "cross-attention": ("cross_attention",),
    "feed-forward": ("fc1", "fc2", "ffn_norm"),
}
# Kind of share → the whole that it is of.
KINDS = {
    "time": "{milliseconds:.2f} ms",
    "step": "{step_megabytes:.2f} MB",
    "artefact": "{artefact_megabytes:.2f} MB",
}
ELEMENT_BYTES = {"F32": 4, "BF16": 2, "I8": 1, "U8": 1}


@dataclass(frozen=True)
class Shape:
    """A model and the beam that it is used with."""

    model: ModelConfig
    beam: int
    precision: str = "int8"

    @property
    def protocol(self) -> MeasureProtocol:
        """Sentences of LENGTH tokens and translations of as many."""
        return MeasureProtocol((LENGTH,), (LENGTH,), beam=self.beam, warmup=1, rounds=1)


SIX_AND_ONE = Architecture(512, HAT.encoder, Decoder(512, (DecoderLayer(2048, 8, 8),)))
SHAPES = {
    "demo": Shape(ModelConfig(space("demo").largest(), 2400, 2400), beam=4),
    "multi30k": Shape(ModelConfig(space("multi30k").largest(), 4000, 4000, norm="pre"), beam=5),
    "6+1 of 512": Shape(ModelConfig(SIX_AND_ONE, 32768, 32768), beam=5),
}


def build_profiled() -> Path:
    """The module of the native engine that measures its parts. Raises CalledProcessError."""
    tools = Path(sys.executable).parent
    found = subprocess.run(
        [sys.executable, "-m", "nanobind", "--cmake_dir"], check=True, capture_output=True, text=True
    )
    options = {
        "CMAKE_MAKE_PROGRAM": tools / "ninja",
        "SKBUILD": "ON",
        "HAT_PROFILE": "ON",
        "Python_EXECUTABLE": sys.executable,
        "nanobind_DIR": found.stdout.strip(),
    }
    defined = [f"-D{name}={value}" for name, value in options.items()]
    configure = [tools / "cmake", "-S", ROOT / "native", "-B", BUILD, "-G", "Ninja", *defined]
    for command in (configure, [tools / "cmake", "--build", BUILD]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (module,) = BUILD.glob("_native.*.so")
    return module


def take_profiled(path: Path) -> None:
    """Make the module at `path` the native engine of this process."""
    spec = importlib.util.spec_from_file_location("hat.runtime._native", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules["hat.runtime._native"] = module


@cache
def decoding(shape: Shape) -> Decoding:
    """The model in the native engine of this process."""
    artefact = Artefact.random(shape.model, 0, shape.precision)
    return forced(load_engine("native", artefact, EngineSettings(1)), shape.protocol)


def decode(shape: Shape, seed: int) -> float:
    """Seconds of processor time for SENTENCES sentences of one round."""
    run = decoding(shape)
    sources = [
        random_sources(shape.protocol, shape.model.source_vocab, seed=seed * SENTENCES + number)[0]
        for number in range(SENTENCES)
    ]
    for source in sources[:WARMUP]:
        run(source)
    if forget := getattr(sys.modules["hat.runtime._native"], "take_profile", None):
        forget()
    started = time.thread_time()
    for source in sources:
        run(source)
    return time.thread_time() - started


def profile(shape: Shape, seed: int) -> dict[str, float]:
    """Seconds by part of the same round, in a process with the module that measures them."""
    decode(shape, seed)
    seconds: dict[str, float] = sys.modules["hat.runtime._native"].take_profile()
    return {part: seconds[part] for part in PARTS}


def measure(shape: Shape, rounds: int, worker: ProcessPoolExecutor) -> dict[str, Any]:
    """A sentence's time by part, the shares of the bytes, and the sum of the parts over the whole time."""
    parts, wholes, greedy = list[dict[str, float]](), list[float](), list[float]()
    for seed in range(rounds):
        greedy.append(decode(replace(shape, beam=1), seed))
        wholes.append(decode(shape, seed))
        parts.append(worker.submit(profile, shape, seed).result())
    sums = [sum(round_parts.values()) for round_parts in parts]
    ratio = statistics.median(total / whole for total, whole in zip(sums, wholes, strict=True))
    if abs(ratio - 1) > MOST_DIFFERENCE:
        raise HatError(f"the parts sum up to {ratio:.2f} of the whole time: no shares can be given")
    seconds = {part: statistics.median(one[part] for one in parts) for part in PARTS}
    return {
        "milliseconds": 1000 * statistics.median(wholes) / SENTENCES,
        "milliseconds_at_beam_1": 1000 * statistics.median(greedy) / SENTENCES,
        "parts_over_whole": ratio,
        "time": shares(seconds),
        "step_megabytes": sum(step_bytes(shape).values()) / 1e6,
        "step": shares(step_bytes(shape)),
        "artefact_megabytes": sum(artefact_bytes(shape).values()) / 1e6,
        "artefact": shares(artefact_bytes(shape)),
    }


def part_of(name: str) -> str:
    """The part that a weight belongs to."""
    pieces = [name, name.split(".")[2]] if name.startswith("decoder.") else [name]
    return next(part for part, names in WEIGHTS.items() if any(piece.startswith(names) for piece in pieces))


def artefact_bytes(shape: Shape) -> Counter[str]:
    """Bytes of the stored weights by part."""
    return _bytes(shape, lambda name: True)


def step_bytes(shape: Shape) -> Counter[str]:
    """Bytes that a decoder step in the middle of a sentence reads: weights, and keys and values in float32.
    Those of the source are the same for all hypotheses, those of the target are counted for each."""
    architecture = shape.model.transformer
    read = _bytes(shape, lambda name: not name.startswith(("encoder", "source")) and ".kv." not in name)
    # A step reads some rows of the target's embedding only.
    del read["embedding"]
    for layer in architecture.decoder.layers:
        if own := layer.self_attention(architecture.qkv_dim):
            read["self-attention"] += layer.passes * 2 * 4 * own.qkv_dim * shape.beam * LENGTH // 2
        if cross := layer.cross_attention(architecture.qkv_dim):
            keys = LENGTH * layer.encoder_layers_attended
            read["cross-attention"] += layer.passes * 2 * 4 * cross.qkv_dim * keys
    return read


def _bytes(shape: Shape, wanted: Callable[[str], bool]) -> Counter[str]:
    counts: Counter[str] = Counter()
    artefact = Artefact.random(shape.model, 0, shape.precision)
    for name, (element, sizes) in artefact.config.stored_tensors().items():
        if wanted(name):
            counts[part_of(name)] += prod(sizes) * ELEMENT_BYTES[element]
    return counts


def shares(amounts: Mapping[str, float]) -> dict[str, float]:
    """Each part's share of the whole."""
    whole = sum(amounts.values())
    return {part: amounts[part] / whole for part in PARTS if part in amounts}


def markdown(rows: Iterable[dict[str, Any]]) -> str:
    """One column for each share of each model."""
    columns = [(row, kind) for row in rows for kind in KINDS]
    head = ["part", *(f"{row['name']}: {kind}" for row, kind in columns)]
    lines = [[part, *(_percent(row[kind].get(part)) for row, kind in columns)] for part in PARTS]
    wholes = [KINDS[kind].format(**row) for row, kind in columns]
    greedy = [f"{row['milliseconds_at_beam_1']:.2f} ms" if kind == "time" else "" for row, kind in columns]
    return table(head, [*lines, ["whole", *wholes], ["whole at beam 1", *greedy]])


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def main() -> None:
    line = parser(__doc__, "time-shares", ".json")
    line.add_argument("--rounds", type=int, default=40)
    options = line.parse_args()
    module, rows = build_profiled(), []
    context = get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=take_profiled, initargs=(module,)) as worker:
        for name, shape in SHAPES.items():
            measured = measure(shape, options.rounds, worker)
            rows.append({"name": name, "beam": shape.beam, "precision": shape.precision} | measured)
    load = os.getloadavg()[0]
    save_record(options.output, length=LENGTH, rounds=options.rounds, rows=rows, load_average=load)
    print(markdown(rows))
    for row in rows:
        print(f"{row['name']}: the parts sum up to {row['parts_over_whole']:.3f} of the whole")


if __name__ == "__main__":
    main()
