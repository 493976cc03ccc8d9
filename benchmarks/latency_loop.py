"""The latency loop on this machine: predictor, repeatability, and the reliability of constraints.

On the multi30k space, with the native engine in int8 or on another device as it is declared:

1. measuring until the predictor is good enough, and its held-out error;
2. searches under random constraints, and judges their verdicts by one more measurement. The loss is minus
   the number of weights, so that every search ends at its constraint;
3. half an hour after the first, a second measuring of the same models, to see if they agree.

    python benchmarks/latency_loop.py [--device NAME] [--constraints 50] [--pause 1800] [--output FOLDER]

Goes on where it was stopped, as long as the day's FOLDER is the same.
"""

import random
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from hat.architecture import Architecture, ModelConfig, cost
from hat.cli import Terminal
from hat.files import read_json, write_json
from hat.hardware import (
    LOCAL,
    Bench,
    Device,
    Figure,
    Measurement,
    MeasurementStore,
    MeasureProtocol,
    Series,
    Verdict,
    device_named,
    environment,
    fit,
    measure,
    measure_until_predictable,
    noise_floor,
    open_bench,
)
from hat.predictor import CostPredictor
from hat.progress import Progress
from hat.search import LATENCY, CostLimit, EvolutionSettings, SearchProblem, Trial, search_verified
from hat.zoo import space
from reports import parser, save_report, table

SPACE, VOCABULARY, SEED, MOST, TARGET = space("multi30k"), 4000, 1, 80, 2.0
LENGTHS = ((11, 16, 24), (12, 17, 25))  # typical of Multi30k, in tokens
# The recipe's.
SETTINGS = EvolutionSettings(population=60, parents=15, mutations=25, crossovers=20, iterations=8)
AGREEMENT, ROUNDS = 1.05, 200
INTERVAL, VERIFY_INTERVAL = 0.02, 0.01
LARGEST = SPACE.largest()


def config(architecture: Architecture) -> ModelConfig:
    dims = {"encoder_super_dim": LARGEST.encoder_dim, "decoder_super_dim": LARGEST.decoder_dim}
    return ModelConfig(architecture, VOCABULARY, VOCABULARY, **dims)


class Loop:
    """The device, and a store that several series share. `most`: models that are measured at first;
    `rounds`: timings of each."""

    def __init__(
        self,
        folder: Path,
        bench: Bench,
        terminal: Terminal,
        *,
        device: Device,
        most: int = MOST,
        rounds: int = ROUNDS,
    ) -> None:
        self.folder, self.bench, self.terminal = folder, bench, terminal
        self.device, self.most, self.rounds = device, most, rounds
        self.store = MeasurementStore(folder / "measurements.sqlite")

    def series(self, name: str, interval: float = INTERVAL) -> Series:
        protocol = MeasureProtocol(
            *LENGTHS,
            engine=self.device.engine,
            threads=1,
            precision=self.device.precision,
            accelerator=self.device.accelerator,
            rounds=self.rounds,
            warmup=1,
            interval=interval,
        )
        return Series(self.store, name, self.device.name, protocol, config(LARGEST))

    def step(self, name: str, work: Any) -> Any:
        """The result of work(progress), remembered in a file."""
        path = self.folder / f"{name}.json"
        if not path.exists():
            with self.terminal.working(name) as progress:
                write_json(path, work(progress))
        return read_json(path)


def first(loop: Loop, progress: Progress) -> dict[str, Any]:
    start = time.time()
    series = loop.series("first")
    samples = measure_until_predictable(
        SPACE, config, series, loop.bench, most=loop.most, target_mape=TARGET, seed=SEED, progress=progress
    )
    seconds = time.time() - start
    measured = [sample.measurement for sample in samples]
    return {
        "started": start,
        "seconds": seconds,
        "models": len(samples),
        "noise_floor": noise_floor(samples),
        "reference_ms": measured[0].reference_ms,
        "noise": measured[0].noise,
        "unsure": float(np.mean([one.too_noisy for one in measured])),
        "predictor": fit(samples, SEED).to_dict(),
        "measured": [
            {"architecture": one.architecture.to_dict(), "latency_ms": one.latency_ms, "runs": one.runs}
            for one in measured
        ],
    }


def constraint(loop: Loop, number: int, progress: Progress) -> dict[str, Any]:
    """One search, and the judgement of what it proposes."""
    report = read_json(loop.folder / "first.json")
    predictor = CostPredictor.from_dict(report["predictor"])
    share = random.Random(f"constraint {number}").uniform(0.3, 0.95)
    limit = share * report["measured"][0]["latency_ms"]
    limits = (CostLimit(LATENCY, predictor.predict, limit),)
    problem = SearchProblem(SPACE, lambda one: -float(cost(one).parameters), limits)

    def measured(architectures: Any, name: str, inner: Progress) -> list[Trial]:
        series = loop.series(f"constraint-{number}/{name}", VERIFY_INTERVAL)
        models = [config(one) for one in architectures]
        return [_trial(one, share) for one in measure(models, series, loop.bench, seed=SEED, progress=inner)]

    choice = search_verified(
        problem,
        SETTINGS,
        measure=measured,
        group=5,
        seed=number,
        memo=loop.folder / "losses",
        progress=progress,
    )
    (judge,) = measured([choice.chosen.candidate.architecture], "judge", progress)
    figure = judge.figures[LATENCY.name]
    return {
        "share": share,
        "verdict": choice.verification.figures[LATENCY.name].verdict,
        "attempts": choice.attempts,
        "measured": len(choice.chosen.measured),
        "judged": figure.value / figure.limit,
        "judged_low": figure.low / figure.limit,
    }


def _trial(one: Measurement, share: float) -> Trial:
    figure = Figure(one.latency_ms, one.low_ms, one.high_ms, share * one.reference_ms)
    return Trial({LATENCY.name: figure}, one)


def second(loop: Loop, progress: Progress) -> dict[str, Any]:
    report = read_json(loop.folder / "first.json")
    models = [config(Architecture.from_dict(row["architecture"])) for row in report["measured"]]
    start = time.time()
    again = measure(models, loop.series("second"), loop.bench, seed=SEED + 1, progress=progress)
    before = np.array([row["latency_ms"] for row in report["measured"]]) / report["reference_ms"]
    after = np.array([one.latency_ms / one.reference_ms for one in again])
    off = np.maximum(before / after, after / before)
    return {
        "minutes_later": (start - report["started"]) / 60,
        "reference_ms": again[0].reference_ms,
        "agree": float((off <= AGREEMENT).mean()),
        "worst": float(off.max()),
        "median": float(np.median(off)),
    }


def markdown(report: dict[str, Any]) -> str:
    one, two, judged = report["first"], report["second"], report["constraints"]
    fitted = one["predictor"]["report"]
    machine = report["environment"]
    met = [row for row in judged if row["verdict"] == Verdict.MET]
    # The judge's whole interval is above the limit, as for one in forty met limits by chance.
    refuted = [row for row in met if row["judged_low"] > 1]
    later = f"{two['minutes_later']:.0f} min later"
    slower = two["reference_ms"] / one["reference_ms"]
    lines = [
        f"# The latency loop, {report['date']}",
        f"{machine['cpu']}, {machine['cores_allowed']} cores, {report['device']}, 1 thread, beam 5, "
        f"multi30k space, {len(LENGTHS[0])} pairs of lengths.",
    ]
    error = (
        f"{fitted['mape']:.2f} % ({fitted['mape_low']:.2f}–{fitted['mape_high']:.2f}; linear "
        f"{fitted['linear_mape']:.2f} %, noise floor {one['noise_floor']:.2f} %)"
    )
    agreement = (
        f"{100 * two['agree']:.0f} % (median off by {100 * two['median'] - 100:.1f} %, worst "
        f"{100 * two['worst'] - 100:.1f} %; the reference took {slower:.2f} of its first time)"
    )
    rows = [
        ["held-out MAPE", "≤ 2.5 %", error],
        ["models measured", "≤ 80", str(one["models"])],
        ["measuring time", "≤ 10 min", f"{one['seconds'] / 60:.1f} min"],
        [f"a second measuring {later} agrees within 5 %", "≥ 90 %", agreement],
        [f"of {len(judged)} random constraints said to be met", "–", str(len(met))],
        ["of these a second fresh measurement is above, with its whole interval", "≤ 5 %", str(len(refuted))],
    ]
    return "\n\n".join([*lines, table(["", "must", "found"], rows, "---")]) + "\n"


def known_device(name: str) -> Device:
    """The device of that name; this machine's processor with the native engine in int8."""
    found = device_named(name)
    return replace(found, engine="native", precision="int8") if name == LOCAL else found


def main() -> None:
    line = parser(__doc__, "latency-loop")
    line.add_argument("--device", default=LOCAL, help="one of `hat device list`")
    line.add_argument("--constraints", type=int, default=50)
    line.add_argument("--pause", type=float, default=1800, help="seconds between both measurings")
    line.add_argument("--work", type=Path, default=Path("runs/latency-loop"), help="measurements go here")
    options = line.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    terminal = Terminal()
    device = known_device(options.device)
    with open_bench(device) as bench:
        loop = Loop(options.work, bench, terminal, device=device)
        one = loop.step("first", lambda progress: first(loop, progress))
        judged = [
            loop.step(f"constraint-{n}", lambda progress, n=n: constraint(loop, n, progress))
            for n in range(options.constraints)
        ]
        time.sleep(max(0.0, one["started"] + options.pause - time.time()))
        two = loop.step("second", lambda progress: second(loop, progress))
    report = {"date": str(date.today()), "environment": environment(), "first": one, "second": two}
    name = "" if device.name == LOCAL else f"{device.name}, "
    report |= {"constraints": judged, "device": f"{name}{device.engine} engine {device.precision}"}
    save_report(options.output, report, markdown(report))


if __name__ == "__main__":
    main()
