"""The share of its speed that HAT keeps beside other busy processes, in training, evaluation and translation.

Every contender runs in a process of its own. In every round each contender works once on the idle
machine and once beside spinning processes, half as many as there are cores. Results go to
benchmarks/results/contention-DATE/{report.md,report.json}. Nothing else should run on the machine.

    python benchmarks/contention.py [--rounds 9] [--seconds 1.2] [--output FOLDER]
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from engine_report import json_bounds, paired_ratio
from hat.cli import Terminal
from hat.hardware import environment, verdict
from hat.threads import COUNTS, available_threads
from reports import parser, save_report, table

WORKER = Path(__file__).with_name("contention_worker.py")
STATES = ("idle", "busy")
ENGINES = ("native", "onnxruntime")
SHARE = 0.6  # least share of the idle speed kept beside other processes
COST = 0.97  # least speed of short spinning, relative to long spinning, on an idle machine
# The waiting time of the OpenMP libraries by default.
LONG_SPINNING = {"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"}
# A spinning process ends with the benchmark, however that ends.
SPIN = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): sum(range(100000))"
SETTLE_SECONDS = 0.2  # for the scheduler to spread the processes after some began or ended


@dataclass(frozen=True)
class Contender:
    """One kind of work with a choice of threads. `kind`, `threads`: arguments of contention_worker.py.
    `before`: as HAT was before it measured threads and let waiting ones sleep soon."""

    name: str
    kind: str
    threads: str
    before: bool = False


@dataclass(frozen=True)
class Target:
    """The least ratio of tokens per second demanded of `ours` to `theirs`, each a (contender, state)."""

    name: str
    ours: tuple[str, str]
    theirs: tuple[str, str]
    least: float


def contenders(most: int) -> list[Contender]:
    """All contenders. `most`: the number of threads that this process may use."""
    return [
        Contender("training", "training", "measured"),
        Contender("training, begun idle", "training", "idle"),
        Contender("training, all cores", "training", "all"),
        Contender("training, before", "training", "all", before=True),
        Contender("evaluation", "evaluation", "measured"),
        Contender("evaluation, before", "evaluation", "all", before=True),
        *(
            Contender(f"{engine} ×{threads}", engine, str(threads))
            for engine in ENGINES
            for threads in sorted({1, most})
        ),
    ]


def targets(most: int) -> list[Target]:
    """The ratios that are demanded."""
    kept = [
        *("training", "training, begun idle", "evaluation"),
        *(f"{engine} ×{most}" for engine in ENGINES),
    ]
    return [
        *(Target(f"{name}: busy, of idle", (name, "busy"), (name, "idle"), SHARE) for name in kept),
        *(
            Target(
                f"{name}, busy: {most} threads, of one",
                (f"{name} ×{most}", "busy"),
                (f"{name} ×1", "busy"),
                1.0,
            )
            for name in ENGINES
            if most > 1
        ),
        Target(
            "training on all cores, idle: short spinning, of long",
            ("training, all cores", "idle"),
            ("training, before", "idle"),
            COST,
        ),
    ]


def judge(target: Target, rates: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, Any]:
    """The median of the paired rounds' ratios with its 95% interval, and the verdict: a target is met if the
    whole interval meets it."""
    (ours, ours_state), (theirs, theirs_state) = target.ours, target.theirs
    ratio, low, high = paired_ratio(rates[ours][ours_state], rates[theirs][theirs_state])
    judged = {"name": target.name, "least": target.least, "ratio": ratio, **json_bounds(low, high)}
    return judged | {"verdict": verdict(-ratio, -low, -target.least)}


def markdown(report: Mapping[str, Any]) -> str:
    """The report as Markdown."""
    machine, rates = report["environment"], report["tokens_per_second"]
    lines = [
        f"# Beside other processes, {report['date']}",
        "",
        f"{machine['cpu']} ({', '.join(machine['flags'])}), {machine['cores_allowed']} cores, load "
        f"{machine['load_average']:.1f} at the start. PyTorch {machine['torch']}, onnxruntime "
        f"{machine['onnxruntime']}. Busy: beside {report['busy_processes']} process(es) that never wait.",
        "",
        "Ratios are medians of paired rounds with their 95% interval; all of it has to meet the target. "
        "Training: batches of 64 × 16 tokens, the demo's SuperTransformer, its threads measured when it "
        "begins, idle or busy; one begun idle keeps those threads until its next checkpoint. "
        "Translation: 6 + 1 layers of width 512, int8, batch 1, beam 5, 30 tokens.",
        "",
        table(["target", "at least", "ratio", "95%", "is"], map(_target_row, report["targets"]), "---"),
        "",
    ]
    rows = []
    for name, by_state in rates.items():
        speeds = (f"{statistics.median(by_state[state]):,.0f}" for state in STATES)
        threads = (str(report["threads"][name][state]) for state in STATES)
        ratio = paired_ratio(by_state["busy"], by_state["idle"])[0]
        rows.append([name, *threads, *speeds, f"{ratio:.2f}"])
    head = ["target tokens/s", "threads idle", "threads busy", "idle", "busy", "busy of idle"]
    return "\n".join([*lines, table(head, rows, "---")]) + "\n"


def _target_row(judged: Mapping[str, Any]) -> list[str]:
    known = judged["low"] is not None
    interval = f"{judged['low']:.2f}–{judged['high']:.2f}" if known else "unknown"
    return [judged["name"], f"{judged['least']:.2f}", f"{judged['ratio']:.2f}", interval, judged["verdict"]]


class Worker:
    """A process that runs one contender."""

    def __init__(self, contender: Contender) -> None:
        plain = {name: value for name, value in os.environ.items() if name not in COUNTS}
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER), contender.kind, contender.threads],
            env=plain | (LONG_SPINNING if contender.before else {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def work(self, state: str, seconds: float) -> dict[str, Any]:
        """One answer of the worker."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"state": state, "seconds": seconds}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


@contextmanager
def spinning(count: int) -> Iterator[None]:
    """Runs that many processes that never wait."""
    others = [subprocess.Popen([sys.executable, "-c", SPIN, str(os.getpid())]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def measure(
    chosen: Sequence[Contender], busy_processes: int, rounds: int, seconds: float, show: Terminal
) -> tuple[dict[str, dict[str, list[float]]], dict[str, dict[str, int]]]:
    """Target tokens per second and number of threads of each contender and state in every round, after one
    round of warm-up."""
    rates: dict[str, dict[str, list[float]]] = {one.name: {state: [] for state in STATES} for one in chosen}
    threads: dict[str, dict[str, int]] = {one.name: {} for one in chosen}
    with ExitStack() as stack:
        workers = {}
        for one in chosen:
            workers[one.name] = Worker(one)
            stack.callback(workers[one.name].close)
        progress = stack.enter_context(show.working("rounds"))
        total = (rounds + 1) * len(chosen)
        for turn in range(rounds + 1):
            for place, (name, worker) in enumerate(workers.items()):
                progress(turn * len(chosen) + place, total, name)
                for state in STATES:
                    with spinning(busy_processes if state == "busy" else 0):
                        time.sleep(SETTLE_SECONDS)
                        answer = worker.work(state, seconds if turn else 0.1)
                    threads[name][state] = answer["threads"]
                    if turn:
                        rates[name][state].append(answer["tokens"] / answer["seconds"])
    return rates, threads


def main() -> None:
    line = parser(__doc__, "contention")
    line.add_argument("--rounds", type=int, default=9)
    line.add_argument("--seconds", type=float, default=1.2, help="seconds of work in each round and state")
    options = line.parse_args()
    most = available_threads()
    busy_processes = max(1, most // 2)
    machine = environment()
    rates, threads = measure(contenders(most), busy_processes, options.rounds, options.seconds, Terminal())
    report = {
        "date": str(date.today()),
        "environment": machine,
        "busy_processes": busy_processes,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "threads": threads,
        "tokens_per_second": rates,
        "targets": [judge(target, rates) for target in targets(most)],
    }
    save_report(options.output, report, markdown(report))


if __name__ == "__main__":
    main()
