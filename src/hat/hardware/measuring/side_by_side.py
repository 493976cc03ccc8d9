"""Engines timed side by side: in turn, so that what disturbs the machine disturbs all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from hat.errors import UserError
from hat.hardware.agent.decoding import decode_exactly
from hat.hardware.protocol import MeasureProtocol, forced_options, random_sources
from hat.progress import Progress, silent
from hat.runtime import Artefact, Engine, EngineSettings, load_engine

# The threads of the engine just timed may go on spinning for some milliseconds, on cores that the next needs.
REST_SECONDS = 0.02
Name = TypeVar("Name")
Decoding = Callable[[list[list[int]]], object]  # of a batch of sources


@dataclass(frozen=True)
class EngineTime:
    """The milliseconds that one engine took to decode a batch, over `runs` runs. `precision`: that of the
    model's weights. `tokens_per_second`: target tokens of the best hypotheses (batch × steps, </s> included)
    over the median."""

    engine: str
    precision: str
    threads: int
    device: str
    beam: int
    batch: int
    source_length: int
    steps: int
    runs: int
    median_ms: float
    p10_ms: float
    p90_ms: float
    tokens_per_second: float


def time_engines(
    artefact: Artefact,
    protocol: MeasureProtocol,
    engines: Sequence[str],
    threads: Sequence[int],
    *,
    device: str = "cpu",
    progress: Progress = silent,
) -> tuple[list[EngineTime], dict[str, str]]:
    """Time every engine with every number of threads on one pair of lengths, `protocol.rounds` times.

    All other settings are those of `protocol`; its engine, threads and precision are not used. Returns the
    times, and the reason for each engine that cannot run here. Raises UserError where none can.
    """
    loaded: dict[tuple[str, int], Engine] = {}
    absent: dict[str, str] = {}
    for name in engines:
        for count in threads:
            try:
                loaded[name, count] = load_engine(name, artefact, EngineSettings(count, device))
            except UserError as error:
                absent[name] = str(error)
                break
    if not loaded:
        raise UserError(f"none of the engines can run: {'; '.join(absent.values())}")
    try:
        runs = {key: forced(engine, protocol) for key, engine in loaded.items()}
        times = time_in_turn(runs, protocol, artefact.config.model.source_vocab, progress)
    finally:
        for engine in loaded.values():
            engine.close()
    timed = replace(protocol, precision=artefact.config.precision)
    return [
        summary(replace(timed, engine=name, threads=count), device, times[name, count])
        for name, count in loaded
    ], absent


def forced(engine: Engine, protocol: MeasureProtocol) -> Decoding:
    """Decoding for exactly the protocol's number of steps. It raises HatError where the engine does not."""
    (steps,) = protocol.target_lengths
    options = forced_options(protocol.beam, steps)
    return lambda sources: decode_exactly(engine, sources, options)


def time_in_turn(
    runs: Mapping[Name, Decoding], protocol: MeasureProtocol, vocabulary: int, progress: Progress = silent
) -> dict[Name, list[float]]:
    """Milliseconds of each run in each of the protocol's rounds: A B C A B C …, after warm-up rounds. Every
    round has new random sources, the same for all, so that the times of one round can be compared."""
    times: dict[Name, list[float]] = {name: [] for name in runs}
    total = protocol.warmup + protocol.rounds
    for turn in range(total):
        (sources,) = random_sources(protocol, vocabulary, seed=turn)
        for place, (name, run) in enumerate(runs.items()):
            progress(turn + place / len(runs), total, "rounds")
            time.sleep(REST_SECONDS)
            start = time.perf_counter()
            run(sources)
            if turn >= protocol.warmup:
                times[name].append(1000 * (time.perf_counter() - start))
    progress(total, total, "rounds")
    return times


def summary(protocol: MeasureProtocol, device: str, times_ms: Sequence[float]) -> EngineTime:
    """The figures of one engine's runs."""
    median = statistics.median(times_ms)
    p10, p90 = np.percentile(times_ms, [10, 90]).tolist()
    ((source_length, steps),) = protocol.pairs
    return EngineTime(
        protocol.engine,
        protocol.precision,
        threads=protocol.threads,
        device=device,
        beam=protocol.beam,
        batch=protocol.batch,
        source_length=source_length,
        steps=steps,
        runs=len(times_ms),
        median_ms=median,
        p10_ms=p10,
        p90_ms=p90,
        tokens_per_second=1000 * protocol.batch * steps / median,
    )
