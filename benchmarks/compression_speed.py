"""4 bits against int8 in the native engine: whole decodes in turn, on models of random weights.

    python benchmarks/compression_speed.py [--rounds 25] [--output FILE]

Each round has a new source, the same for both; the ratio is the median over rounds of 4-bit time by
int8 time, with its 95% interval, so that other work on the machine affects both.
"""

import os
from contextlib import ExitStack
from math import isfinite
from typing import Any, Protocol, cast

import numpy as np

from architectures import HAT, VANILLA
from hat.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer, ModelConfig
from hat.hardware import MeasureProtocol, forced, time_in_turn
from hat.intervals import median_interval
from hat.runtime import Artefact, Engine, EngineSettings, load_engine
from reports import parser, save_record

LENGTH = 30
PRECISIONS = ("int8", "kmeans4")
# All weights fit into a second-level cache: there is nothing to win by fewer bytes.
SMALL = Architecture(128, Encoder(128, (EncoderLayer(512, 4),) * 4), Decoder(128, (DecoderLayer(512, 4, 4),)))
# Model → architecture, vocabulary.
MODELS = {"vanilla": (VANILLA, 32768), "hat": (HAT, 32768), "small": (SMALL, 4000)}
# Model, beam, instruction set.
CASES = (
    *((model, beam, "auto") for model in MODELS for beam in (5, 1)),
    *(("hat", 5, name) for name in ("avx512vnni", "avx2")),
)


class Packed(Engine, Protocol):
    """The native engine, which reports the size of its packed weights."""

    instruction_set: str
    memory_bytes: tuple[int, int]


def measure(model: str, beam: int, instruction_set: str, rounds: int) -> dict[str, Any]:
    """One row of the report: one thread, sentences and translations of 30 tokens."""
    architecture, vocabulary = MODELS[model]
    config = ModelConfig(architecture, vocabulary, vocabulary)
    protocol = MeasureProtocol((LENGTH,), (LENGTH,), beam=beam, warmup=2, rounds=rounds)
    settings = EngineSettings(1, instruction_set=instruction_set)
    with ExitStack() as stack:
        engines = {
            name: cast(Packed, load_engine("native", Artefact.random(config, 0, name), settings))
            for name in PRECISIONS
        }
        for engine in engines.values():
            stack.callback(engine.close)
        memory = {name: engine.memory_bytes[0] for name, engine in engines.items()}
        used = engines["int8"].instruction_set
        runs = {name: forced(engine, protocol) for name, engine in engines.items()}
        times = time_in_turn(runs, protocol, vocabulary)
    ratios = np.array(times["kmeans4"]) / np.array(times["int8"])
    low, high = median_interval(ratios)
    return {
        "model": model,
        "beam": beam,
        "instruction_set": used,
        "median_ms": {name: round(float(np.median(values)), 2) for name, values in times.items()},
        "ratio": round(float(np.median(ratios)), 3),
        "ratio_interval": [round(end, 3) if isfinite(end) else None for end in (low, high)],
        "packed_bytes": memory,
    }


def main() -> None:
    line = parser(__doc__, "compression-speed", ".json")
    line.add_argument("--rounds", type=int, default=25)
    options = line.parse_args()
    table = []
    for model, beam, instruction_set in CASES:
        table.append(measure(model, beam, instruction_set, options.rounds))
        print(*table[-1].values(), sep="  ", flush=True)
    load = os.getloadavg()[0]
    save_record(options.output, threads=1, rounds=options.rounds, rows=table, load_average=load)


if __name__ == "__main__":
    main()
