"""Speed of training: this version, an earlier one and a plain loop around torch.nn.Transformer, in turn.

Every contender runs in a process of its own (training_worker.py), one update at a time in turn, on the
same batches. Results go to benchmarks/results/training-DATE/{report.md,report.json}. Nothing else should run
on the machine; --processor-time compares the seconds of the processor where something does (one thread only).

    python benchmarks/training.py [--before REVISION] [--cases NAME,…] [--rounds N] [--output FOLDER]
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from math import isfinite
from pathlib import Path
from typing import Any

from engine_report import paired_ratio
from hat import zoo
from hat.architecture import EMBEDDING_NAMES, ModelConfig, weight_shapes
from hat.cli import Terminal
from hat.files import write_json, write_text
from hat.hardware import environment
from hat.threads import COUNTS, available_threads

WORKER = Path(__file__).with_name("training_worker.py")
# Runs the worker on another version's sources, which the finder of an editable installation would hide.
LAUNCH = """
import runpy, sys
script, source, *sys.argv[1:] = sys.argv[1:]
if source:
    sys.meta_path[:] = [finder for finder in sys.meta_path if "ScikitBuild" not in type(finder).__name__]
    sys.path.insert(0, source)
runpy.run_path(script, run_name="__main__")
"""
CASES = (
    ("wmt-space0", "sampled"),
    ("wmt-space0", "largest"),
    ("multi30k", "sampled"),
    ("demo", "sampled"),
)
WARM_UP = 2
PHASES = ("forward", "backward", "loss, gradient norm, batches", "optimiser")


@dataclass(frozen=True)
class Contender:
    """A version of HAT by its source folder ("" is this one), or the plain loop. `processes`: that share each
    batch, and the threads."""

    name: str
    source: str = ""
    plain: bool = False
    processes: int = 1


class Worker:
    """A process that trains one contender's network."""

    def __init__(
        self, contender: Contender, case: str, kind: str, threads: int, *, batch_tokens: int | None = None
    ) -> None:
        plain = {name: value for name, value in os.environ.items() if name not in COUNTS}
        arguments = [case, "plain" if contender.plain else kind, str(threads)]
        if batch_tokens:
            arguments += ["--batch-tokens", str(batch_tokens)]
        if contender.processes > 1:
            arguments += ["--processes", str(contender.processes)]
        self._process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, str(WORKER), contender.source, *arguments],
            env=plain | {"OMP_NUM_THREADS": str(threads)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, line: str) -> dict[str, Any]:
        """One answer of the worker. Raises RuntimeError if it has ended."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the worker ended with status {self._process.wait()}")
        found: dict[str, Any] = json.loads(answer)
        return found

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def operations_per_token(case: str, kind: str, vocabulary: int) -> float:
    """Mean floating-point operations of a training update per token: two for each weight that a token is
    multiplied with, forwards, and twice as many backwards. Source and target tokens are equally many."""
    space = zoo.space(case)
    drawn = [space.largest() if kind == "largest" else space.sample(random.Random(n)) for n in range(200)]
    weights = []
    for architecture in drawn:
        shapes = weight_shapes(ModelConfig(architecture, vocabulary, vocabulary))
        sizes = {name: _product(shape) for name, shape in shapes.items() if len(shape) > 1}
        layers = sum(size for name, size in sizes.items() if name not in EMBEDDING_NAMES)
        weights.append(layers + vocabulary * architecture.decoder_dim)
    return 6 * statistics.mean(weights)


def _product(shape: Sequence[int]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product


def measure(
    chosen: Sequence[Contender], *, case: str, kind: str, threads: int, rounds: int, show: Terminal
) -> dict[str, Any]:
    """Updates of every contender in turn, after a warm-up, and what a profiler says of one more."""
    found: dict[str, dict[str, Any]] = {one.name: {"updates": []} for one in chosen}
    with ExitStack() as stack:
        workers = {}
        for one in chosen:
            workers[one.name] = Worker(one, case, kind, threads)
            stack.callback(workers[one.name].close)
        progress = stack.enter_context(show.working(f"{case}, {kind}, {threads} thread(s)"))
        for worker in workers.values():
            worker.ask(str(WARM_UP))
        peaks = []
        for turn in range(rounds):
            progress(turn, rounds, "")
            for name, worker in workers.items():
                answer = worker.ask("1")
                found[name]["updates"] += answer["updates"]
                found[name]["memory"] = answer["memory"]
            if turn % max(1, rounds // 5) == 0:
                peaks.append(worker.ask("peaks"))
        for name, worker in workers.items():
            found[name] |= worker.ask("split")
    return {"case": case, "kind": kind, "threads": threads, "contenders": found, "peaks": peaks}


def summary(row: Mapping[str, Any], vocabulary: int, clock: str) -> list[dict[str, Any]]:
    """One line for each contender: speed, share of the peak, memory, and this version's gain."""
    peak = statistics.median(peak["bfloat16"] for peak in row["peaks"])
    ours = row["contenders"]["now"]["updates"]
    lines = []
    for name, found in row["contenders"].items():
        updates = found["updates"]
        rate = statistics.median(update["tokens"] / update[clock] for update in updates)
        work = operations_per_token(
            row["case"], "largest" if name == "plain loop" else row["kind"], vocabulary
        )
        gain, low, high = paired_ratio([one[clock] for one in updates], [one[clock] for one in ours])
        lines.append(
            {
                "contender": name,
                "tokens_per_second": round(rate),
                "share_of_peak": round(rate * work / peak, 3),
                "memory": found["memory"],
                "gain": round(gain, 3),
                # JSON has no infinity, the bound of an interval of too few rounds.
                "interval": [round(end, 3) if isfinite(end) else None for end in (low, high)],
            }
        )
    return lines


def markdown(report: Mapping[str, Any]) -> str:
    """The report as Markdown."""
    machine = report["environment"]
    lines = [
        f"# Speed of training, {report['date']}",
        "",
        f"{machine['cpu']} ({', '.join(machine['flags'])}), {machine['cores_allowed']} cores, load "
        f"{machine['load_average']:.1f} at the start. PyTorch {machine['torch']}; precision bf16. "
        f"Before: {report['before'] or 'not measured'}.",
        "",
        "Medians over updates in turn on the same batches. Share of peak: operations of the matrix products "
        "over those of a large bf16 product measured in between. Memory and phases of several processes: the "
        "first one's. Gain: this version's speed over the "
        f"contender's, paired by batch, with its 95% interval ({report['clock'].replace('_', ' ')}).",
        "",
        "| network | threads | contender | target tokens/s | share of peak | memory, GB | gain | 95% |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in report["rows"]:
        for line in row["summary"]:
            known = None not in line["interval"]
            interval = "{:.2f}–{:.2f}".format(*line["interval"]) if known else "unknown"
            lines.append(
                f"| {row['case']}, {row['kind']} | {row['threads']} | {line['contender']} | "
                f"{line['tokens_per_second']:,} | {100 * line['share_of_peak']:.0f} % | "
                f"{line['memory'] / 1e9:.1f} | {line['gain']:.2f} | {interval} |"
            )
    lines += [
        "",
        "Milliseconds of an update by phase, under the profiler:",
        "",
        f"| network | threads | contender | {' | '.join(PHASES)} | of these products |",
        "| --- | --- | --- |" + " --- |" * (len(PHASES) + 1),
    ]
    for row in report["rows"]:
        for name, found in row["contenders"].items():
            split = found["split"]
            times = [sum(split.get(phase, {}).values()) for phase in PHASES]
            times.append(sum(kinds.get("products", 0) for kinds in split.values()))
            shown = " | ".join(f"{1000 * taken:.0f}" for taken in times)
            lines.append(f"| {row['case']}, {row['kind']} | {row['threads']} | {name} | {shown} |")
    return "\n".join(lines) + "\n"


def sources(revision: str, folder: Path) -> str:
    """The sources of an earlier version, written into `folder`."""
    root = Path(__file__).parents[1]
    archive = subprocess.run(
        ["git", "archive", revision, "src"], cwd=root, check=True, stdout=subprocess.PIPE
    )
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return str(folder / "src")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", help="a revision of this repository to compare with")
    parser.add_argument("--cases", default=",".join(f"{case}:{kind}" for case, kind in CASES))
    parser.add_argument("--threads", default=",".join(map(str, sorted({1, available_threads()}))))
    parser.add_argument("--no-plain", action="store_true", help="without the plain loop")
    parser.add_argument(
        "--processes", type=int, default=1, help="beside one process, so many of fewer threads"
    )
    parser.add_argument("--rounds", type=int, default=30, help="updates of each contender")
    parser.add_argument("--processor-time", action="store_true")
    default = Path(__file__).parent / "results" / f"training-{date.today()}"
    parser.add_argument("--output", type=Path, default=default)
    options = parser.parse_args()
    clock = "processor_seconds" if options.processor_time else "seconds"
    report: dict[str, Any] = {
        "date": str(date.today()),
        "environment": environment(),
        "before": options.before,
        "clock": clock,
        "rounds": options.rounds,
        "rows": [],
    }
    with tempfile.TemporaryDirectory(prefix="training-") as folder:
        versions = [Contender("now")]
        if options.before:
            versions.insert(0, Contender("before", sources(options.before, Path(folder))))
        for threads in map(int, options.threads.split(",")):
            for case, kind in (name.split(":") for name in options.cases.split(",")):
                others = [] if options.no_plain else [Contender("plain loop", plain=True)]
                if 1 < options.processes <= threads:
                    others.append(Contender(f"{options.processes} processes", processes=options.processes))
                row = measure(
                    [*versions, *others],
                    case=case,
                    kind=kind,
                    threads=threads,
                    rounds=options.rounds,
                    show=Terminal(),
                )
                vocabulary = {"wmt-space0": 32768, "multi30k": 4000, "demo": 2400}[case]
                report["rows"].append(row | {"summary": summary(row, vocabulary, clock)})
                # After every network, so that a benchmark cut short leaves what it has measured.
                write_json(options.output / "report.json", report)
                write_text(options.output / "report.md", markdown(report))
    print(markdown(report))


if __name__ == "__main__":
    main()
