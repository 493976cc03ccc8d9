"""Peak memory and speed of preparing a large corpus.

Writes a synthetic parallel corpus (words drawn by Zipf's law from a large lexicon, WMT-like
sentence lengths) to a temporary folder, prepares it in a process of its own, and records that
process's peak resident memory and the lines per second in
benchmarks/results/prepare-memory-DATE.json.

    python benchmarks/prepare_memory.py [--lines 5000000]
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from hat.data import Cleaning, Corpora, ParallelText, Vocabulary, prepare
from hat.files import write_json
from reports import RESULTS, parser

LEXICON = 400_000
VOCABULARY = Vocabulary(size=32_000)
BLOCK = 20_000


def lexicon(rng: np.random.Generator) -> np.ndarray:
    """Invented words of one to four syllables, the frequent ones short."""
    syllables = [c + v + e for c in "bdfghklmnprstwzß" for v in "aeiouäöü" for e in ("", "n", "r")]
    drawn = rng.choice(syllables, (2 * LEXICON, 4)).tolist()
    counts = rng.integers(2, 5, 2 * LEXICON).tolist()
    rare = ("".join(word[:count]) for word, count in zip(drawn, counts, strict=True))
    words = list(dict.fromkeys([*syllables, *rare]))
    return np.array(words[:LEXICON], dtype=object)


def write_corpus(path: Path, lines: int, words: np.ndarray, rng: np.random.Generator) -> None:
    """A TSV with log-normal sentence lengths (mean about 25 words a side) and some duplicates."""
    share = 1 / np.arange(1, len(words) + 1)
    cumulative = np.cumsum(share / share.sum())
    with path.open("w", encoding="utf-8") as stream:
        for start in range(0, lines, BLOCK):
            count = min(BLOCK, lines - start)
            lengths = np.minimum(rng.lognormal(3.1, 0.5, count).astype(int) + 1, 200)
            ends = np.cumsum(2 * lengths)
            drawn = words[np.searchsorted(cumulative, rng.random(ends[-1]))].tolist()
            block = []
            for end, length in zip(ends.tolist(), lengths.tolist(), strict=True):
                source, target = drawn[end - 2 * length : end - length], drawn[end - length : end]
                block.append(f"{' '.join(source)}\t{' '.join(target)}\n")
            stream.writelines(block)
            stream.writelines(block[: count // 100])


def prepare_here(folder: Path) -> None:
    """The work of the measured process; prints a JSON object."""
    small = (ParallelText(folder / "small.tsv"),)
    corpora = Corpora((ParallelText(folder / "train.tsv"),), small, small)
    begin = time.perf_counter()
    stages: dict[str, list[dict[str, float]]] = {}

    def progress(done: float, total: float, note: str) -> None:
        now = {"seconds": round(time.perf_counter() - begin, 1), "peak_rss_mb": peak_rss_mb()}
        name = note.split(maxsplit=1)[0]
        stages[name] = [stages.get(name, [now])[0], now]

    report = prepare(
        folder / "data", corpora, vocabulary=VOCABULARY, cleaning=Cleaning(), seed=1, progress=progress
    )
    seconds = time.perf_counter() - begin
    result = {
        "seconds": round(seconds, 1),
        "lines_per_second": round(report["cleaning"]["read"] / seconds),
        "peak_rss_mb": peak_rss_mb(),
        "stages_first_and_last": stages,
    }
    print(json.dumps(result | {key: report[key] for key in ("cleaning", "train")}))


def peak_rss_mb() -> int:
    """Peak resident memory of this process (getrusage's figure would start at the parent's)."""
    status = Path("/proc/self/status").read_text()
    return round(int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6)


def measure(lines: int) -> dict[str, object]:
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = lexicon(rng)
        write_corpus(folder / "train.tsv", lines, words, rng)
        write_corpus(folder / "small.tsv", 1000, words, rng)
        size = (folder / "train.tsv").stat().st_size
        command = [sys.executable, __file__, "--prepare", name]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {"corpus_mb": round(size / 1e6), **json.loads(output)}


def main() -> None:
    line = parser(__doc__)
    line.add_argument("--lines", type=int, default=5_000_000)
    line.add_argument("--prepare", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    arguments = line.parse_args()
    if arguments.prepare:
        prepare_here(arguments.prepare)
        return
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    environment = {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "sentencepiece": version("sentencepiece"),
        "numpy": version("numpy"),
    }
    result = {"date": today, "environment": environment, **measure(arguments.lines)}
    write_json(RESULTS / f"prepare-memory-{today}.json", result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
